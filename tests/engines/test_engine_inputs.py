"""Wrong input: the sentence that a user reads, with the property's path, and nothing left on the node."""

from __future__ import annotations

from typing import Any

from engine_stack import Stack
from tests import extent

OFFLINE = {
    "size-without-unit": (
        'jvp.Volume("v", pool="p", size="20")',
        'problem: "20" is not a size; write it with a unit: "512MiB", "20GiB", "1.5TB"',
    ),
    "host-bits": (
        'jvp.Network("n", cidr="192.168.50.1/24")',
        '"192.168.50.1/24" has host bits set; the network is "192.168.50.0/24"',
    ),
    "range-outside": (
        'jvp.Network("n", cidr="192.168.50.0/24", dhcp={"start": "10.0.0.1"})',
        'dhcp.start: "10.0.0.1" is outside of 192.168.50.0/24',
    ),
    "nested-in-a-list": (
        'jvp.Instance("i", root_disk={"pool": "p", "size": "1GiB"}, nics=[{"name": "a"}, {"name": "b", "mac": "x"}])',
        'nics[1].mac: "x" is not a MAC address; write it like "52:54:00:12:34:56"',
    ),
    "given-twice": (
        'jvp.Instance("i", root_disk={"pool": "p", "size": "1GiB"}, nics=[{"name": "a"}, {"name": "a"}])',
        'nics[1].name: "a" is given twice',
    ),
    "nothing-to-boot": (
        'jvp.Instance("i")',
        "an instance needs a template, a rootDisk.size for an empty disk, an iso or a directKernel",
    ),
    "choice-of-words": (
        'jvp.Instance("i", root_disk={"pool": "p", "size": "1GiB"}, power_state="on")',
        "must be one of 'running', 'stopped', 'paused' or 'unmanaged', not \"on\"",
    ),
    "waits-in-vain": (
        'jvp.Instance("i", root_disk={"pool": "p", "size": "1GiB"}, wait_for="ip")',
        "an instance without nics never has an address",
    ),
    "room": (
        'jvp.Instance("i", root_disk={"pool": "p", "size": "1GiB"}, memory="2GiB", max_memory="1GiB")',
        '"1GiB" is less than memory, which is "2GiB"',
    ),
    "two-sources": (
        'jvp.Template("t", pool="p", source={"path": "/a", "url": "http://b/c"})',
        "needs exactly one of path and url",
    ),
    "misspelled": (
        'jvp.Network("n", cidr="192.168.50.0/24", dhcp={"strat": "192.168.50.7"})',
        'dhcp.strat: ',
    ),
    "control-characters": (
        'jvp.Volume("v", pool="p", size="1GiB", name="a\\n\\x1b[31mb")', r'name: "a\n\x1b[31mb" is not a name',
    ),
    "user-data": (
        'jvp.Instance("i", template="t", cloud_init={"user_data": "#cloud-config\\n- hush-hush"})',
        'cloudInit.userData: is no mapping in YAML',
    ),
    "uri": (
        'jvp.StoragePool("p", opts=pulumi.ResourceOptions(provider=jvp.Provider("other", uri="foo://")))',
        "uri: must begin with qemu",
    ),
    "provider": (
        'jvp.StoragePool("p", opts=pulumi.ResourceOptions(provider=jvp.Provider("other", virt_type="vbox")))',
        "virtType: must be one of",
    ),
}  # fmt: skip


def test_wrong_input_is_refused_by_a_preview_with_its_path(stack: Stack, subtests: Any) -> None:
    # Each costs a start of the engine; how a sentence reaches it is the same for all.
    for name in extent.sample(list(OFFLINE), "wrong input", share=0.35):
        line, sentence = OFFLINE[name]
        with subtests.test(name):
            stack.write(line)
            run = stack.preview(ok=False)
            assert sentence in run.text, run
            assert "Traceback" not in run.text, run
            assert "hush-hush" not in run.text, run


def test_what_the_node_refuses_is_said_before_anything_is_made(stack: Stack, daemon: Any, subtests: Any) -> None:
    stack.write("""
        jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
        jvp.Network("net", name=P + "net", cidr=CIDR)
    """)
    stack.up()
    cases = {
        "no-such-pool": ('jvp.Volume("v", pool=P + "nowhere", size="1MiB")', "pool: there is no storage pool"),
        "name-taken": (
            'jvp.Network("other", name=P + "net", cidr="203.0.113.0/24")',
            "; choose another name; if it is in no state any more, import it: pul",
            'which another resource of jvp made (the Pulumi stack "',
            'name: there is a network "',
        ),
        "overlap": ('jvp.Network("other", name=P + "lan", cidr=CIDR)', " of the network ", "cidr: "),
        "folder-taken": (
            'jvp.StoragePool("other", name=P + "b", path=FOLDER)', "is the folder of the storage pool", "path: ",
        ),
    }  # fmt: skip
    program = (stack.project / "__main__.py").read_text()
    # The contract tests have all of them; each costs an up here.
    for name in extent.sample(list(cases), "what the node refuses", share=0.5, least=2):
        line, *sentences = cases[name]
        with subtests.test(name):
            (stack.project / "__main__.py").write_text(f"{program}\n{line}\n")
            run = stack.up(ok=False)
            for sentence in sentences:
                assert sentence in run.errors, run
            assert "Traceback" not in run.text, run
            assert set(stack.state()) == {"pool", "net"}
    assert len([one for one in daemon.listAllNetworks(0) if one.name().startswith(stack.names["P"])]) == 1


def test_an_unreachable_node_is_one_sentence_and_a_first_preview_needs_none(stack: Stack) -> None:
    stack.write("""
        there = jvp.Provider("there", uri="qemu+unix:///system?socket=" + FOLDER + "/none.sock")
        jvp.StoragePool("pool", name=P + "pool", path=FOLDER, opts=pulumi.ResourceOptions(provider=there))
    """)
    assert stack.preview().ops["pool"] == ["create"]
    run = stack.up(ok=False)
    assert "cannot connect to" in run.errors
    assert f"nothing listens on {stack.names['FOLDER']}/none.sock; start libvirtd there, or set the provider's uri" in (
        run.errors
    )
