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
        "pool": UNKNOWN, "size": "10MB", "format": UNKNOWN, "bus": UNKNOWN, "discard": UNKNOWN,
        "deleteWithInstance": False,
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


def test_a_preview_says_why_an_up_would_fail_and_the_up_says_the_same(stack: Stack) -> None:
    program = """
        pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
        net = jvp.Network("net", name=P + "net", cidr=CIDR)
        jvp.Volume("good", name=P + "good", pool=pool.name, size="1MiB")
        jvp.Volume("bad", name=P + "bad", pool=P + "none", size="1MiB")
    """
    stack.write(
        program
        + """
        far = pulumi.ResourceOptions(provider=jvp.Provider("far", uri="qemu+unix:///system?socket=/nowhere/libvirt"))
        jvp.Network("one", cidr=CIDR, opts=far)
        jvp.Network("two", cidr=CIDR, opts=far)
    """
    )
    said = sorted(text for severity, text in stack.preview().said if severity == "warning")
    assert len(said) == 2
    assert said[0].startswith('cannot connect to "qemu+unix:///system?socket=/nowhere/libvirt": nothing listens on')
    sentence = f'pool: there is no storage pool "{stack.names["P"]}none" on the node; there are: '
    assert said[1].startswith(sentence)
    stack.write(program)
    assert sentence in stack.up(ok=False).errors
    # What is replaced has its own name until then.
    stack.write(program.replace("path=FOLDER", "path=FOLDER + '/in'").replace('        jvp.Volume("bad"', "        #"))
    replaced = stack.preview()
    assert "create-replacement" in replaced.ops["pool"]
    assert not [text for severity, text in replaced.said if "there is a storage pool" in text]


def test_what_waits_for_a_power_cycle_is_told_by_every_preview(stack: Stack) -> None:
    program = """
        pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
        jvp.Instance(
            "vm", name=P + "vm", memory="32MiB", max_cpus=cpus, virt_type="qemu", shutdown_timeout="0s",
            root_disk={"pool": pool.id, "size": "1MiB"},
        )
    """
    for cpus in (1, 2):
        stack.write(program, cpus=cpus)
        stack.up()
    waits = f'"{stack.names["P"]}vm" runs without what is still pending: maxCpus (takes effect at the next power cycle)'
    for run in (stack.preview(), stack.refresh()):
        assert [text for severity, text in run.said if severity == "warning"] == [waits]
