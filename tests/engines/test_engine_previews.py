"""Previews with values that are not known yet: what is known is said all the same."""

from __future__ import annotations

from engine_stack import UNKNOWN, Stack


def test_a_preview_says_what_it_knows_beside_what_it_cannot(stack: Stack) -> None:
    stack.write("""
        pool = jvp.StoragePool("pool", path=FOLDER)
        net = jvp.Network("net", cidr=CIDR)
        sized = jvp.Volume("sized", name=P + "sized", pool=pool.id, size="3MiB")
        follower = jvp.Volume("follower", name=P + "f", pool=pool.id, size=sized.path.apply(lambda _: "1MiB"))
        vm = jvp.Instance(
            "vm", name=P + "vm", memory="1GB", root_disk={"pool": pool.id, "size": "10MB"},
            nics=[{"name": "eth0", "network": net.id}],
        )
        pulumi.export("bytes", sized.size_bytes)
        pulumi.export("gateway", net.gateway)
        pulumi.export("address", vm.ip_address)
    """)
    plan = stack.preview()
    net, sized, follower, vm = (plan.planned(name) for name in ("net", "sized", "follower", "vm"))
    gateway = stack.names["CIDR"].replace(".0/24", ".1")
    assert (net["gateway"], net["mode"], net["active"], net["name"]) == (gateway, "nat", True, UNKNOWN)
    assert net["dhcp"]["start"] == gateway.removesuffix("1") + "2"
    assert (sized["sizeBytes"], sized["pool"], sized["path"]) == (3 * 1024**2, UNKNOWN, UNKNOWN)
    assert (follower["size"], follower["name"]) == (UNKNOWN, stack.names["P"] + "f")
    assert vm["memory"] == "1GB"
    assert vm["maxMemory"] == "1GB"
    assert vm["rootDisk"] == {
        "pool": UNKNOWN, "size": "10MB", "format": UNKNOWN, "bus": UNKNOWN, "deleteWithInstance": False,
    }  # fmt: skip
    assert vm["nics"][0]["network"] == UNKNOWN
    assert vm["nics"][0]["name"] == "eth0"
    assert vm["powerState"] == "running"
    assert vm["uuid"] == UNKNOWN
    shown = dict(line.split(":", 1) for line in plan.text.replace(" ", "").splitlines() if line.count(":") == 1)
    assert shown["gateway"] == f'"{gateway}"'
    assert shown["bytes"] == str(3 * 1024**2)
    assert shown["address"] == "[unknown]"


def test_an_update_keeps_what_it_does_not_touch_known(stack: Stack) -> None:
    program = """
        pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
        data = jvp.Volume("data", name=P + "data", pool=pool.id, size=size)
        other = jvp.Volume("other", name=P + "other", pool=data.pool_uuid, size="1MiB")
        pulumi.export("path", data.path)
    """
    stack.write(program, size="1MiB")
    stack.up()
    before = stack.state()["data"]["outputs"]
    stack.write(program, size="2MiB")
    plan = stack.preview()
    # The follower's pool comes from an output of what changes; were that unknown, it would be replaced.
    assert plan.ops == {"data": ["update"]}
    planned = plan.planned("data")
    assert planned["path"] == before["path"]
    assert planned["sizeBytes"] == 2 * 1024**2
