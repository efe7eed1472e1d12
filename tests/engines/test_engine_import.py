"""Import: what is there already comes under Pulumi without a change to it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from engine_stack import Stack
from tests import extent

MAKER = """
def options(label):
    return pulumi.ResourceOptions(import_=IDS.get(label))

pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER, opts=options("pool"))
net = jvp.Network("net", name=P + "net", cidr=CIDR, opts=options("net"))
data = jvp.Volume("data", name=P + "data", pool=pool.id, size="3MiB", format="raw", opts=options("data"))
vm = jvp.Instance(
    "vm", name=P + "vm", memory="32MiB", virt_type="qemu", root_disk={"pool": pool.id, "size": "2MiB"},
    disks=[{"name": "data", "volume": data.id}], nics=[{"name": "eth0", "network": net.id}],
    power_state="stopped", opts=options("vm"),
)
"""
KINDS = {"pool": "StoragePool", "net": "Network", "data": "Volume", "vm": "Instance"}


@pytest.fixture
def foreign(stack: Stack, daemon: Any) -> dict[str, str]:
    """Objects of every kind that no stack knows; their ids. (Made by a stack whose state is then thrown away.)"""
    stack.write(MAKER, IDS={})
    stack.up()
    ids = {name: one["id"] for name, one in stack.state().items()}
    stack("stack", "rm", "--force", "--yes", "dev")
    stack("stack", "init", "dev")
    return ids


def _looks(daemon: Any, stack: Stack) -> list[str]:
    prefix = stack.names["P"]
    return [
        daemon.lookupByName(prefix + "vm").XMLDesc(2),
        daemon.networkLookupByName(prefix + "net").XMLDesc(1),
        # without the filesystem's use, which is not the pool's alone
        re.sub(r"<(allocation|available).*", "", daemon.storagePoolLookupByName(prefix + "pool").XMLDesc(0)),
    ]


@pytest.mark.parametrize("by", extent.sample(("name", "id"), "import by", share=0.5, least=1))
def test_the_import_option_takes_a_name_or_an_id_and_changes_nothing(
    stack: Stack, foreign: dict[str, str], daemon: Any, by: str
) -> None:
    prefix = stack.names["P"]
    names = {"pool": prefix + "pool", "net": prefix + "net", "data": f"{prefix}pool/{prefix}data", "vm": prefix + "vm"}
    before = _looks(daemon, stack)
    stack.write(MAKER, IDS=names if by == "name" else foreign)
    assert stack.preview().ops == {name: ["import"] for name in KINDS}
    stack.up()
    assert _looks(daemon, stack) == before
    assert {name: one["id"] for name, one in stack.state().items()} == foreign
    stack.write(MAKER, IDS={})
    stack.settle()


def test_the_import_command_writes_a_program_that_has_nothing_to_do(
    stack: Stack, foreign: dict[str, str], daemon: Any
) -> None:
    stack.write("")
    before = _looks(daemon, stack)
    programs = []
    for name, kind in KINDS.items():
        written = stack.folder / f"{name}.py"
        words = ("--yes", "--protect=false", "--out", str(written))
        stack("import", f"jvp:index:{kind}", name, foreign[name], *words)
        programs.append(written.read_text(encoding="utf-8"))
    assert _looks(daemon, stack) == before
    disks = stack.state()["vm"]["inputs"]["disks"]
    found = {"name": "data", "readOnly": False, "volume": foreign["data"], "bus": "virtio", "serial": "data"}
    found |= {"discard": "unmap", "shareable": False}
    assert disks == [found]
    stack.write("\n".join(programs))
    stack.settle()


def test_what_is_not_there_cannot_be_imported(stack: Stack) -> None:
    stack.write("")
    for kind, there in (("Network", "network"), ("Instance", "instance"), ("StoragePool", "storage pool")):
        run = stack("import", f"jvp:index:{kind}", "none", stack.names["P"] + "none", "--yes", ok=False)
        assert f"there is no {there}" in run.text.lower(), run
    assert stack.state() == {}


INSTALLED = """
vm = jvp.Instance(
    "vm", name=P + "hand", root_disk={"pool": P + "pool", "size": "4MiB"}, virt_type="qemu",
    opts=pulumi.ResourceOptions(import_=IDS.get("vm")), **MORE,
)
"""


def test_a_machine_by_virt_install_needs_little_of_a_program(stack: Stack, daemon: Any) -> None:
    if shutil.which("virt-install") is None:
        pytest.skip("virt-install is not installed (Debian package virtinst)")
    name, folder = stack.names["P"], Path(stack.names["FOLDER"])
    folder.mkdir()
    pool = f"<pool type='dir'><name>{name}pool</name><target><path>{folder}</path></target></pool>"
    daemon.storagePoolDefineXML(pool).create()
    disk = f"pool={name}pool,size=0.00390625"
    subprocess.run(
        ["virt-install", "--connect", daemon.getURI(), "--name", name + "hand", "--virt-type", "qemu", "--memory", "64",
         "--import", "--disk", disk, "--network", "user", "--noautoconsole", "--osinfo", "linux2022"],
        check=True, timeout=120, capture_output=True,
    )  # fmt: skip
    domain = daemon.lookupByName(name + "hand")
    before = domain.XMLDesc(2)
    stack.write(INSTALLED, IDS={"vm": name + "hand"}, MORE={})
    stack.up()
    assert domain.XMLDesc(2) == before
    stack.write(INSTALLED, IDS={}, MORE={"memory": "96MiB", "shutdown_timeout": "1s"})
    assert stack.up().diff("vm").keys() == {"memory", "maxMemory", "shutdownTimeout"}
    without_notes = re.sub(r"\s*<jvp:mark.*</jvp:mark>", "", domain.XMLDesc(2), flags=re.DOTALL)
    assert without_notes == before.replace(">65536<", ">98304<")
    stack.settle()
    stack.destroy()
    assert [path.name for path in folder.iterdir()] == [f"{name}hand.qcow2"]


SET = """
def options(label, *others):
    return pulumi.ResourceOptions(import_=IDS.get(label), depends_on=others)

net = jvp.Network("net", name=P + "net", cidr=CIDR, opts=options("net"), **NET)
vm = jvp.Instance(
    "vm", name=P + "vm", virt_type="qemu", direct_kernel={"kernel": "/vmlinuz"}, opts=options("vm", net), **VM
)
"""


def test_what_is_set_to_the_default_after_an_import_is_set(stack: Stack, daemon: Any) -> None:
    prefix = stack.names["P"]
    card = {"name": "eth0", "network": prefix + "net", "model": "e1000e"}
    stopped = {"memory": "32MiB", "power_state": "stopped"}
    stack.write(
        SET, IDS={}, NET={"mode": "isolated", "autostart": False},
        VM={**stopped, "cpus": 2, "nics": [card], "autostart": True},
    )  # fmt: skip
    stack.up()
    stack("stack", "rm", "--force", "--yes", "dev")
    stack("stack", "init", "dev")
    stack.write(SET, IDS={"net": prefix + "net", "vm": prefix + "vm"}, NET={}, VM={})
    stack.up()
    stack.write(SET, IDS={}, NET={}, VM={})
    stack.settle()
    vm = {**stopped, "cpus": 1, "nics": [], "autostart": False}
    stack.write(SET, IDS={}, NET={"mode": "nat", "autostart": True}, VM=vm)
    plan = stack.preview()
    assert (plan.diff("net").keys(), plan.diff("vm").keys()) == (
        {"mode", "autostart"},
        {"cpus", "nics[0]", "autostart"},
    )
    stack.up()
    assert "<interface" not in daemon.lookupByName(prefix + "vm").XMLDesc(2)
    assert "<vcpu placement='static' current='1'>2</vcpu>" in daemon.lookupByName(prefix + "vm").XMLDesc(2)
    assert "<forward mode='nat'" in daemon.networkLookupByName(prefix + "net").XMLDesc(1)
    stack.settle()
    # Taken out again after they were set: the defaults, which the plan tells.
    stack.write(SET, IDS={}, NET={}, VM={**stopped, "cpus": 1, "autostart": True})
    assert stack.up().diff("vm") == {"autostart": "update"}
    stack.write(SET, IDS={}, NET={}, VM={**stopped, "cpus": 1})
    plan = stack.preview()
    assert plan.diff("vm") == {"autostart": "delete"}
    assert "what is not set takes its default: autostart false" in plan.text
