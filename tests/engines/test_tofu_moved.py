"""Moving from dmacvicar/libvirt: `moved` blocks over states of its shapes, under the real OpenTofu and daemon.

OpenTofu wants the source provider to be installed for as long as the state names it, and asks it nothing for a move: a
stand-in that knows no resource takes its place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tofu_home
from tests.conftest import sweep
from tests.starting import Start
from tofu_home import REQUIRED, TofuHome

OLD = "registry.example/dmacvicar/libvirt"
STAND_IN = """\
#!{python}
from jvp.doors.terraform import plugin
from jvp.doors.terraform.provider import ProviderServicer
from jvp.doors.terraform.server import Service
from jvp.resources import registry

plugin.run(Service(lambda: ProviderServicer({{}}, {{}}, registry.calls)))
"""
NETWORK = """
<network>
  <name>{P}net</name><forward mode='nat'/><domain name='lab.local'/><dns enable='yes'/>
  <ip address='{first}.1' netmask='255.255.255.0'><dhcp><range start='{first}.2' end='{first}.254'/></dhcp></ip>
</network>"""
VOLUME = "<volume><name>{P}{name}</name><capacity>{size}</capacity><target><format type='{format}'/></target></volume>"
# What 0.8 defines: disks by pool and volume, the cloud-init disk by its file.
DOMAIN = """
<domain type='qemu'>
  <name>{P}vm</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os>
  <features><acpi/><apic/><pae/></features>
  <devices>
    <disk type='volume' device='disk'>
      <driver name='qemu' type='qcow2'/><source pool='{P}pool' volume='{P}root'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='volume' device='disk'>
      <driver name='qemu' type='raw'/><source pool='{P}pool' volume='{P}data'/><target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/><source file='{FOLDER}/{P}seed'/><target dev='hdd' bus='ide'/><readonly/>
    </disk>
    <interface type='network'>
      <mac address='52:54:00:0d:0a:01'/><source network='{P}net'/><model type='virtio'/>
    </interface>
    <console type='pty'><target type='serial' port='0'/></console>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>"""
MOVES = {
    "libvirt_pool.pool": "jvp_storage_pool.pool",
    "libvirt_network.net": "jvp_network.net",
    "libvirt_volume.root": "jvp_volume.root",
    "libvirt_volume.data": "jvp_volume.data",
    "libvirt_cloudinit_disk.seed": "jvp_volume.seed",
    "libvirt_domain.vm": "jvp_instance.vm",
}
CONFIGURATION = """
resource "jvp_storage_pool" "pool" {
  name = "%(P)spool"
  path = "%(FOLDER)s"
}

resource "jvp_network" "net" {
  name = "%(P)snet"
  cidr = "%(CIDR)s"
}

resource "jvp_volume" "root" {
  name = "%(P)sroot"
  pool = jvp_storage_pool.pool.id
  size = "8MiB"
}

resource "jvp_volume" "data" {
  name   = "%(P)sdata"
  pool   = jvp_storage_pool.pool.id
  size   = "3MiB"
  format = "raw"
}

resource "jvp_volume" "seed" {
  name   = "%(P)sseed"
  pool   = jvp_storage_pool.pool.id
  size   = "366KiB"
  format = "raw"
}

resource "jvp_instance" "vm" {
  name        = "%(P)svm"
  memory      = "64MiB"
  power_state = "stopped"
  root_disk   = { pool = jvp_storage_pool.pool.id, size = "8MiB" }
  disks       = [{ name = "vdb", volume = jvp_volume.data.id }]
  nics        = [{ name = "52-54-00-0d-0a-01", network = jvp_network.net.id }]
  # Its root disk and its CD are volumes of the state, and nothing above names them.
  depends_on = [jvp_volume.root, jvp_volume.seed]
}
"""
INDEXED = """
resource "jvp_storage_pool" "pool" {
  name = "%(P)spool"
  path = "%(FOLDER)s"
}

resource "jvp_volume" "root" {
  for_each = { root = "qcow2", data = "raw" }
  name     = "%(P)s${each.key}"
  pool     = jvp_storage_pool.pool.id
  size     = each.key == "root" ? "8MiB" : "3MiB"
  format   = each.value
}

moved {
  from = libvirt_pool.pool
  to   = jvp_storage_pool.pool
}

moved {
  from = libvirt_volume.root[0]
  to   = jvp_volume.root["root"]
}

moved {
  from = libvirt_volume.root[1]
  to   = jvp_volume.root["data"]
}
"""


@pytest.fixture
def home(tmp_path: Path, started: Start) -> TofuHome:
    found = TofuHome(tmp_path / "home", python_path=os.environ.get("PYTHONPATH"))
    found.install()
    for platform in ("linux_amd64", "linux_arm64"):
        stand_in = found.mirror / OLD / "0.8.3" / platform / "terraform-provider-libvirt"
        stand_in.parent.mkdir(parents=True)
        stand_in.write_text(STAND_IN.format(python=sys.executable), encoding="utf-8")
        stand_in.chmod(0o755)
    config = found.folder / ".terraformrc"
    config.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{found.mirror}"\n  }}\n}}\n')
    return found


@pytest.fixture
def names(prefix: str, run_folder: Path, cidrs: Callable[[], str], daemon: Any, leftovers: None) -> Iterator[Any]:
    """The names of what somebody else's program made; what is left of it goes."""
    folder = run_folder / "moved"
    folder.mkdir()
    yield {"P": f"{prefix}m-", "FOLDER": str(folder), "CIDR": cidrs()}
    sweep(daemon, f"{prefix}m-")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def state(daemon: Any, names: dict[str, str]) -> dict[str, Any]:
    """The objects, as that program makes them, and the state that it keeps of them."""
    values = {**names, "first": names["CIDR"].rpartition(".")[0]}
    pool = daemon.storagePoolDefineXML(
        "<pool type='dir'><name>{P}pool</name><target><path>{FOLDER}</path></target></pool>".format(**values)
    )
    pool.setAutostart(1)
    pool.create()
    network = daemon.networkDefineXML(NETWORK.format(**values))
    network.create()
    keys = {
        name: pool.createXML(VOLUME.format(**values, name=name, size=size, format=format_)).key()
        for name, size, format_ in (("root", 8 << 20, "qcow2"), ("data", 3 << 20, "raw"), ("seed", 366 << 10, "raw"))
    }
    domain = daemon.defineXML(DOMAIN.format(**values))
    in_pool = {"pool": names["P"] + "pool"}
    attributes = {
        "libvirt_pool.pool": {"id": pool.UUIDString(), "type": "dir"},
        "libvirt_network.net": {"id": network.UUIDString(), "mode": "nat", "addresses": [names["CIDR"]]},
        "libvirt_volume.root": {"id": keys["root"], "format": "qcow2", **in_pool},
        "libvirt_volume.data": {"id": keys["data"], "format": "raw", **in_pool},
        "libvirt_cloudinit_disk.seed": {"id": f"{keys['seed']};{domain.UUIDString()}", "user_data": "x", **in_pool},
        # 0.9's: the id is the number of the run
        "libvirt_domain.vm": {"id": None, "uuid": domain.UUIDString(), "memory": 65536},
    }
    return {
        "version": 4,
        "terraform_version": "1.9.0",
        "serial": 1,
        "lineage": "moved",
        "outputs": {},
        "resources": [_resource(address, names["P"], held) for address, held in attributes.items()],
    }


def _resource(address: str, prefix: str, attributes: dict[str, Any]) -> dict[str, Any]:
    kind, _, name = address.partition(".")
    # The private bytes are those of the other provider's framework, and mean nothing to us.
    instance = {
        "schema_version": 0,
        "attributes": {"name": prefix + name, **attributes},
        "private": "eyJzY2hlbWFfdmVyc2lvbiI6IjAifQ==",
    }
    provider = f'provider["{OLD}"]'
    return {"mode": "managed", "type": kind, "name": name, "provider": provider, "instances": [instance]}


def _looks(daemon: Any, names: dict[str, str]) -> list[str]:
    """The objects as the daemon has them."""
    prefix = names["P"]
    pool = daemon.storagePoolLookupByName(prefix + "pool")
    pool.refresh(0)
    found = [
        daemon.lookupByName(prefix + "vm").XMLDesc(2),
        daemon.networkLookupByName(prefix + "net").XMLDesc(1),
        pool.XMLDesc(0),
        *(volume.XMLDesc(0) for volume in sorted(pool.listAllVolumes(0), key=lambda one: one.name())),
    ]
    # without the filesystem's use, which is not the pool's alone, and the times of reading
    return [re.sub(r"<(allocation|available|atime|ctime).*", "", text) for text in found]


def test_moved_takes_everything_over_and_changes_nothing(
    home: TofuHome, tmp_path: Path, state: dict[str, Any], names: dict[str, str], daemon: Any
) -> None:
    module = tmp_path / "module"
    module.mkdir()
    moves = "".join(f"moved {{\n  from = {old}\n  to   = {new}\n}}\n" for old, new in MOVES.items())
    (module / "main.tf").write_text(REQUIRED + CONFIGURATION % names + moves, encoding="utf-8")
    (module / "terraform.tfstate").write_text(json.dumps(state), encoding="utf-8")
    before = _looks(daemon, names)
    home.tofu(module, "init")

    planned = home.tofu(module, "plan", "-detailed-exitcode", "-out=plan.bin", codes=(2,))
    assert "Plan: 0 to add, 0 to change, 0 to destroy." in planned
    for old, new in MOVES.items():
        assert f"# {old} has moved to {new}" in planned
    home.tofu(module, "apply", "plan.bin")
    assert _looks(daemon, names) == before

    # The blocks and the other provider may go now.
    (module / "main.tf").write_text(REQUIRED + CONFIGURATION % names, encoding="utf-8")
    home.tofu(module, "init")
    assert "dmacvicar" not in tofu_home.hashes(module)
    home.tofu(module, "plan", "-detailed-exitcode")

    # They are ours to change: the disks stay as they are named.
    text = (module / "main.tf").read_text(encoding="utf-8")
    (module / "main.tf").write_text(text.replace('"64MiB"', '"96MiB"\n  max_memory  = "96MiB"'))
    home.tofu(module, "apply", "-auto-approve")
    home.tofu(module, "plan", "-detailed-exitcode")
    domain = daemon.lookupByName(names["P"] + "vm")
    assert domain.info()[2] == 96 * 1024
    assert re.findall(r"<disk.*?</disk>", domain.XMLDesc(2), re.DOTALL) == re.findall(
        r"<disk.*?</disk>", before[0], re.DOTALL
    )
    home.tofu(module, "destroy", "-auto-approve")


def test_moved_takes_over_the_instances_of_a_count_one_by_one(
    home: TofuHome, tmp_path: Path, state: dict[str, Any], names: dict[str, str], daemon: Any
) -> None:
    """From the second on Terraform says that they are of the target's provider."""
    pool, _network, root, data, *_rest = state["resources"]
    instances = [{**one["instances"][0], "index_key": index} for index, one in enumerate((root, data))]
    module = tmp_path / "module"
    module.mkdir()
    (module / "main.tf").write_text(REQUIRED + INDEXED % names, encoding="utf-8")
    held = {**state, "resources": [pool, {**root, "instances": instances}]}
    (module / "terraform.tfstate").write_text(json.dumps(held), encoding="utf-8")
    before = _looks(daemon, names)
    home.tofu(module, "init")
    planned = home.tofu(module, "plan", "-detailed-exitcode", "-out=plan.bin", codes=(2,))
    assert "Plan: 0 to add, 0 to change, 0 to destroy." in planned
    home.tofu(module, "apply", "plan.bin")
    assert _looks(daemon, names) == before
    home.tofu(module, "plan", "-detailed-exitcode")
