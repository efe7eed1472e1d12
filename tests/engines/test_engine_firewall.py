"""An isolated lab behind a firewall, under the real engines: what changes live, and what is taken out in one run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from engine_stack import Stack
from tofu_stack import Tofu

from jvp.libvirt.link.xml import parse

PROGRAM = """
pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
lab = jvp.Network("lab", name=P + "lab", mode="isolated", cidr=CIDR)
ways = {}
if ports:
    inside = jvp.Firewall(
        "inside", name=P + name, outbound="drop",
        rules=[
            {"name": "web", "protocol": "tcp", "ports": ports},
            {"name": "each-other", "direction": "out", "cidr": CIDR},
        ],
    )
    ways = {"firewall": inside.id}
for name in ("one", "two"):
    jvp.Instance(
        name, name=P + name, memory="32MiB", virt_type="qemu", power_state="stopped",
        root_disk={"pool": pool.id, "size": "1MiB"}, nics=[{"name": "eth0", "network": lab.id, **ways}],
    )
"""
MODULE = """
resource "jvp_storage_pool" "pool" {
  name = "${local.P}-pool"
  path = local.FOLDER
}

resource "jvp_network" "lab" {
  name = "${local.P}-lab"
  mode = "isolated"
  cidr = local.CIDR
}

resource "jvp_firewall" "inside" {
  count    = length(local.ports) > 0 ? 1 : 0
  name     = "${local.P}-inside"
  outbound = "drop"

  rules = [
    { name = "web", protocol = "tcp", ports = local.ports },
    { name = "each-other", direction = "out", cidr = local.CIDR },
  ]

  lifecycle {
    create_before_destroy = true
  }
}

resource "jvp_instance" "machine" {
  for_each    = toset(["one", "two"])
  name        = "${local.P}-${each.key}"
  memory      = "32MiB"
  power_state = "stopped"
  root_disk   = { pool = jvp_storage_pool.pool.id, size = "1MiB" }
  nics        = [{ name = "eth0", network = jvp_network.lab.id, firewall = one(jvp_firewall.inside[*].id) }]
}
"""


def filters(daemon: Any, prefix: str) -> list[str]:
    """What the cards of the instances are behind."""
    ours = [one for one in daemon.listAllDomains(0) if re.fullmatch(rf"{prefix}-?(one|two)", one.name())]
    assert len(ours) == 2
    return [str(ref.get("filter")) for one in ours for ref in parse(one.XMLDesc(2)).iter("filterref")]


def test_a_lab_behind_a_firewall_in_pulumi(stack: Stack, daemon: Any) -> None:
    prefix = stack.names["P"]
    stack.write(PROGRAM, name="inside", ports=["80"])
    stack.up()
    stack.settle()
    assert filters(daemon, prefix) == [f"{prefix}inside"] * 2
    stack.write(PROGRAM, name="inside", ports=["80", "443"])
    assert stack.up().ops == {"inside": ["update"]}
    stack.settle()
    # By another name, while it is in use: that is made first, and the old one goes last.
    stack.write(PROGRAM, name="within", ports=["80", "443"])
    renamed = stack.up().ops
    assert (renamed["one"], renamed["two"], renamed["inside"][-1]) == (["update"], ["update"], "delete-replaced")
    assert filters(daemon, prefix) == [f"{prefix}within"] * 2
    stack.write(PROGRAM, name="", ports=[])
    assert stack.up().ops == {"one": ["update"], "two": ["update"], "inside": ["delete"]}
    stack.settle()
    assert filters(daemon, prefix) == []
    stack.destroy()


def test_a_lab_behind_a_firewall_in_hcl(make_module: Callable[..., Tofu], daemon: Any) -> None:
    module = make_module()
    prefix = module.names["P"]
    module.write(MODULE, ports=["80"])
    module.apply()
    module.settle()
    assert filters(daemon, prefix) == [f"{prefix}-inside"] * 2
    module.write(MODULE, ports=["80", "443"])
    module.apply()
    module.settle()
    # Without create_before_destroy it would be deleted before its instances have given it up, which is refused.
    module.write(MODULE, ports=[])
    module.apply()
    module.settle()
    assert filters(daemon, prefix) == []
    module.destroy()
