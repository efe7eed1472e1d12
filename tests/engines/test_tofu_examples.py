"""The examples in HCL under the real OpenTofu and Terraform, from nothing to nothing."""

from __future__ import annotations

import ipaddress
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tofu_stack
from tests.lab.conftest import BOOTS
from tofu_stack import CHANGES, PLAN, Tofu

MakeModule = Callable[..., Tofu]


def test_the_first_instance(make_module: MakeModule, image: Path, daemon: Any) -> None:
    """A booted guest: up, drift, a live change, a replaced disk, and nothing at the end."""
    tofu = make_module("01-first-instance")
    tofu.given |= {"image": str(image), "memory": "96MiB", "max_memory": "160MiB", "wait_timeout": "120s"}
    first = tofu.apply(ok=None)
    if first.code != 0 and "no address after" in first.errors:
        BOOTS.append("tofu: hung, second try")
        first = tofu.apply()
    assert first.code == 0, first
    prefix, address = tofu.names["P"], tofu.outputs()["address"]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(tofu.names["CIDR"])
    domain = daemon.lookupByName(f"{prefix}-vm")
    life = domain.ID()
    tofu.settle()

    domain.setAutostart(True)
    assert tofu.plan().code == CHANGES
    assert tofu.changes() == {"jvp_instance.instance": ["update"]}
    tofu.apply()
    assert not domain.autostart()

    tofu.given["memory"] = "131072KiB"
    tofu.apply()
    assert domain.info()[2] == 128 * 1024
    tofu.given["memory"] = "128MiB"  # the same
    tofu.settle()

    tofu.apply('-replace=jvp_volume.disk["data"]')
    tofu.settle()
    assert domain.ID() == life

    wrong = tofu("plan", "-no-color", "-var", "memory=2 Gb", ok=False)
    assert 'memory: "Gb" is not a unit of size' in wrong.errors
    tofu.destroy()
    assert tofu.state() == {}


@pytest.mark.parametrize("program", tofu_stack.drawn("fleet"))
def test_a_small_fleet(make_module: MakeModule, tmp_path: Path, daemon: Any, run_folder: Path, program: str) -> None:
    """Modules, for_each, data sources, import and moved blocks, and the engine's own tests of the configuration."""
    tofu = make_module("02-small-fleet", program)
    tofu("get", "-no-color")
    tested = tofu("test", "-no-color")
    assert "2 passed, 0 failed" in tested.text
    # What halts at once never asks for an address, which would be another output in every plan.
    image = tmp_path / "halts.img"
    image.write_bytes(b"\xfa\xf4".ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    one, two = {"memory": "32MiB"}, {"memory": "32MiB", "data": "2MiB"}
    tofu.given |= {"image": str(image), "wait_for": "none", "guests": {"one": one, "two": two}}
    tofu.apply()
    tofu.settle()
    prefix = tofu.names["P"]
    state = tofu.state()
    assert state['module.guest["two"].jvp_instance.guest']["name"] == f"{prefix}-two"
    assert tofu.outputs()["node"] == daemon.getHostname()
    running = {domain.name() for domain in daemon.listAllDomains(0) if domain.name().startswith(prefix)}
    assert running == {f"{prefix}-one", f"{prefix}-two"}

    # What somebody changed by hand, one guest made anew, and another one changed where it is.
    first, second = (daemon.lookupByName(f"{prefix}-{name}") for name in ("one", "two"))
    lives = first.ID(), second.ID()
    second.setAutostart(True)
    tofu.plan()
    assert tofu.changes() == {'module.guest["two"].jvp_instance.guest': ["update"]}
    two["memory"] = "48MiB"
    tofu.plan('-replace=module.guest["one"].jvp_instance.guest')
    assert tofu.changes() == {
        'module.guest["one"].jvp_instance.guest': ["delete", "create"],
        'module.guest["two"].jvp_instance.guest': ["update"],
    }
    tofu.apply(PLAN)
    assert daemon.lookupByName(f"{prefix}-one").ID() != lives[0]
    assert not second.autostart()
    assert second.ID() == lives[1]
    assert "<memory unit='KiB'>49152</memory>" in second.XMLDesc(2)
    tofu.settle()

    # By another name in the configuration, and one guest less.
    main = tofu.module / "main.tf"
    text = main.read_text().replace('"jvp_network" "lan"', '"jvp_network" "net"')
    text = text.replace("jvp_network.lan", "jvp_network.net").replace("jvp_network.network", "jvp_network.lan")
    main.write_text(text)
    tests = tofu.module / "tests"
    shutil.rmtree(tests)
    tofu.given["guests"] = {"two": two}
    daemon.lookupByName(f"{prefix}-one").destroy()  # it hears no shutdown, and is given a minute for it
    tofu.plan()
    assert tofu.changes() == {'module.guest["one"].jvp_instance.guest': ["delete"]}
    tofu.apply()

    # A pool that somebody has made by hand.
    folder = run_folder / f"{prefix}-by-hand"
    folder.mkdir()
    xml = f"<pool type='dir'><name>{prefix}-by-hand</name><target><path>{folder}</path></target></pool>"
    pool = daemon.storagePoolDefineXML(xml, 0)
    pool.setAutostart(True)
    pool.create(0)
    before = steady(pool)
    tofu.given["adopted_pools"] = {f"{prefix}-by-hand": str(folder)}
    assert "1 to import, 0 to add, 0 to change, 0 to destroy" in tofu.apply().text
    tofu.settle()
    assert steady(pool) == before
    daemon.lookupByName(f"{prefix}-two").destroy()
    tofu.destroy()
    folder.rmdir()


def test_two_workspaces_never_share_an_object(make_module: MakeModule, image: Path, daemon: Any) -> None:
    """Neither of them takes what the other has made, not even when that is only half made."""
    tofu = make_module("01-first-instance")
    tofu.given |= {"image": str(image), "disks": {}}
    only = "-target=jvp_network.network"
    tofu.apply(only)
    network = daemon.networkLookupByName(f"{tofu.names['P']}-net")
    before = network.XMLDesc(0)
    tofu("workspace", "new", "-no-color", "other")
    refused = tofu.apply(only, ok=False)
    told = re.search(r"already, with the id \S+, .* stands above: (\w+) import ADDRESS (\S+)$", refused.errors)
    assert told is not None, refused
    assert told[1] == tofu.program.name
    tofu.import_("jvp_network.network", told[2])
    tofu("state", "rm", "jvp_network.network")
    assert network.XMLDesc(0) == before
    tofu("workspace", "select", "-no-color", "default")
    tofu.destroy()


def steady(pool: Any) -> str:
    """The pool's XML without how full its disk is."""
    return re.sub(r"<(allocation|available)\b.*?</\1>", "", pool.XMLDesc(0))
