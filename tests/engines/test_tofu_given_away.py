"""Addresses and ranges that one resource gives up and another one is to have, in one apply."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from tofu_stack import Tofu

MODULE = """
resource "jvp_storage_pool" "pool" {
  name = "${local.P}-pool"
  path = local.FOLDER
}

resource "jvp_network" "lan" {
  name = "${local.P}-lan"
  cidr = local.CIDR
}

resource "jvp_network" "side" {
  for_each = local.sides
  name     = "${local.P}-${each.key}"
  cidr     = each.value
}

resource "jvp_instance" "vm" {
  for_each         = { for index, name in local.machines : name => index }
  name             = "${local.P}-${each.key}"
  memory           = "32MiB"
  root_disk        = { pool = jvp_storage_pool.pool.id, size = "1MiB" }
  nics             = [{ name = "eth0", network = jvp_network.lan.id, address = cidrhost(local.CIDR, 10 + each.value) }]
  shutdown_timeout = "0s"
}
"""


def test_one_apply_gives_to_each_what_others_give_up(make_module: Callable[..., Tofu], daemon: Any, cidrs: Any) -> None:
    module = make_module()
    first, second = cidrs(), cidrs()
    module.write(MODULE, machines=list("abcde"), sides={"one": first, "two": second})
    module.apply()
    # The second is taken out, two networks exchange their ranges; then two exchange their addresses.
    for machines in ("acde", "caed"):
        module.write(MODULE, machines=list(machines), sides={"one": second, "two": first})
        module.apply()
        module.settle()
        base = ip_network(module.names["CIDR"]).network_address
        have = {name: module.state()[f'jvp_instance.vm["{name}"]']["nics"][0]["address"] for name in machines}
        assert have == {name: str(base + 10 + index) for index, name in enumerate(machines)}
    module.destroy()
