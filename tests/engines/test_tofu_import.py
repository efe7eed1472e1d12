"""Import blocks for which the program writes the configuration: nothing is left to do, and nothing was changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tofu_stack
from tofu_stack import CHANGES, PLAN, Tofu

MAKER = """
resource "jvp_storage_pool" "pool" {
  name = "${local.P}-pool"
  path = local.FOLDER
}

resource "jvp_network" "net" {
  name         = "${local.P}-net"
  cidr         = local.CIDR
  reservations = [{ mac = "52:54:00:67:00:01", address = cidrhost(local.CIDR, 9), name = "a" }]
}

resource "jvp_template" "image" {
  name   = "${local.P}-image"
  pool   = jvp_storage_pool.pool.id
  source = { path = local.IMAGE }
}

resource "jvp_volume" "data" {
  name   = "${local.P}-data"
  pool   = jvp_storage_pool.pool.id
  size   = "3MiB"
  format = "raw"
}

resource "jvp_instance" "vm" {
  name        = "${local.P}-vm"
  template    = jvp_template.image.id
  memory      = "32MiB"
  virt_type   = "qemu"
  power_state = "stopped"
  disks       = [{ name = "data", volume = jvp_volume.data.id }]
  nics        = [{ name = "eth0", network = jvp_network.net.id }]
  cloud_init  = { hostname = "a" }
}
"""
NAMES = {
    "jvp_storage_pool.pool": "{P}-pool",
    "jvp_network.net": "{P}-net",
    "jvp_template.image": "{P}-pool/{P}-image",
    "jvp_volume.data": "{P}-pool/{P}-data",
    "jvp_instance.vm": "{P}-vm",
}


def _looks(daemon: Any, prefix: str) -> list[str]:
    return [
        daemon.lookupByName(f"{prefix}-vm").XMLDesc(2),
        daemon.networkLookupByName(f"{prefix}-net").XMLDesc(1),
        # without the filesystem's use, which is not the pool's alone
        re.sub(r"<(allocation|available).*", "", daemon.storagePoolLookupByName(f"{prefix}-pool").XMLDesc(0)),
    ]


@pytest.mark.parametrize("program", tofu_stack.drawn("generated configuration"))
def test_a_generated_configuration_has_nothing_to_do(
    make_module: Callable[..., Tofu], daemon: Any, tmp_path: Path, program: str
) -> None:
    tofu = make_module(program=program)
    image = tmp_path / "image"
    image.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))
    tofu.write(MAKER, IMAGE=str(image))
    tofu.apply()
    ids = {address: one["id"] for address, one in tofu.state().items()}
    tofu.settle()  # whose reading notes that a state has them
    before = _looks(daemon, tofu.names["P"])
    tofu.state_file.unlink()

    blocks = [
        f'import {{\n  to = {address}\n  id = "{name.format(**tofu.names)}"\n}}\n' for address, name in NAMES.items()
    ]
    tofu.write("".join(blocks))
    assert tofu.plan("-generate-config-out=generated.tf").code == CHANGES
    assert tofu.changes() == {}
    assert "5 imported, 0 added, 0 changed, 0 destroyed" in tofu.apply(PLAN).text
    assert {address: one["id"] for address, one in tofu.state().items()} == ids
    assert _looks(daemon, tofu.names["P"]) == before
    tofu.settle()


FOUND = """
resource "jvp_network" "net" {
  name = "${local.P}-net"
  cidr = local.CIDR
  %(net)s
}

resource "jvp_instance" "vm" {
  name          = "${local.P}-vm"
  virt_type     = "qemu"
  memory        = "32MiB"
  power_state   = "stopped"
  direct_kernel = { kernel = "/vmlinuz" }
  %(vm)s
}
"""
IMPORT = """
import {
  to = jvp_network.net
  id = "${local.P}-net"
}

import {
  to = jvp_instance.vm
  id = "${local.P}-vm"
}
"""


def test_what_is_set_to_the_default_after_an_import_is_set(make_module: Callable[..., Tofu], daemon: Any) -> None:
    tofu = make_module()
    card = 'nics = [{ name = "eth0", network = jvp_network.net.id, model = "e1000e" }]'
    tofu.write(FOUND % {"net": 'mode = "isolated"\nautostart = false', "vm": f"cpus = 2\nautostart = true\n{card}"})
    tofu.apply()
    tofu.settle()
    tofu.state_file.unlink()
    tofu.write(FOUND % {"net": "", "vm": ""} + IMPORT)
    assert "2 imported, 0 added, 0 changed, 0 destroyed" in tofu.apply().text
    # The name of the network is misspelled, of which no provider is told: the card keeps what was found.
    tofu.write(FOUND % {"net": "", "vm": 'nics = [{ name = "eth0", netwrok = "x" }]'})
    tofu.settle()
    tofu.write(FOUND % {"net": "", "vm": 'nics = [{ name = "eth0" }, { name = "eth1", netwrok = "x" }]'})
    assert "nics[1]: has no network, so it has user-mode networking" in " ".join(tofu.plan().text.split())
    tofu.write(FOUND % {"net": 'mode = "nat"\nautostart = true', "vm": "cpus = 1\nautostart = false\nnics = []"})
    tofu.plan()
    assert tofu.changes() == {"jvp_network.net": ["update"], "jvp_instance.vm": ["update"]}
    tofu.apply(PLAN)
    domain, prefix = daemon.lookupByName(f"{tofu.names['P']}-vm").XMLDesc(2), tofu.names["P"]
    assert "<interface" not in domain
    assert "<vcpu placement='static' current='1'>2</vcpu>" in domain
    assert "<forward mode='nat'" in daemon.networkLookupByName(f"{prefix}-net").XMLDesc(1)
    tofu.settle()
    tofu.write(FOUND % {"net": "", "vm": ""})
    tofu.settle()
