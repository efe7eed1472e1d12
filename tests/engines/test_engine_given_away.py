"""Addresses and ranges that one resource gives up and another one is to have, in one up. Pulumi deletes last."""

from __future__ import annotations

from typing import Any

from engine_stack import Stack

PROGRAM = """
from ipaddress import ip_network

pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
lan = jvp.Network("lan", name=P + "lan", cidr=CIDR)
for name, cidr in sides.items():
    jvp.Network(name, name=P + name, cidr=cidr)
for index, name in enumerate(machines):
    address = str(ip_network(CIDR).network_address + 10 + index)
    vm = jvp.Instance(
        name, name=P + name, memory="32MiB", virt_type="qemu", shutdown_timeout="0s",
        root_disk={"pool": pool.id, "size": "1MiB"}, nics=[{"name": "eth0", "network": lan.id, "address": address}],
    )
    pulumi.export(name, vm.nics[0].address)
"""


def test_one_up_gives_to_each_what_others_give_up(stack: Stack, daemon: Any, cidrs: Any) -> None:
    first, second = cidrs(), cidrs()
    stack.write(PROGRAM, machines="abcde", sides={"one": first, "two": second})
    stack.up()
    # The second is taken out, two networks exchange their ranges; then two exchange their addresses.
    for machines in ("acde", "caed"):
        stack.write(PROGRAM, machines=machines, sides={"one": second, "two": first})
        stack.up()
        stack.settle()
        assert [one.rpartition(".")[2] for name, one in sorted(stack.outputs().items())] == [
            str(10 + machines.index(name)) for name in sorted(machines)
        ]
    stack.destroy()
