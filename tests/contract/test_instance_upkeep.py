"""What a machine of ours has without any property: changed under a guest that runs, and what is only told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import libvirt
import pytest
from tests.contract.conftest import Bag, Bench, domain_of
from tests.contract.drift import domain_edited
from tests.contract.kinds import running, stopped

from jvp.core.diff import consequences
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.xml import drop, parse, put, sub, text_of, value
from jvp.resources.instance import storage

OPEN = "<graphics type='vnc' port='-1' autoport='yes' listen='0.0.0.0'/>"
SHARED = "<filesystem type='mount'><source dir='/etc'/><target dir='etc'/></filesystem>"


def planned(bench: Bench, stored: Stored, raw: Bag) -> tuple[Stored, list[str]]:
    """The state as it is read, and what the plan says beside the differences."""
    read = bench.read("Instance", stored)
    assert read is not None
    return read, consequences(bench.calls.diff("Instance", read, bench.inputs("Instance", raw)).changes)


def test_a_card_of_a_running_guest_is_put_right_where_it_is(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    """This guest has no system, and would let go of no card."""
    raw = running(bench, bench.name("card"))
    stored = made(raw)
    domain = domain_of(bench, stored)
    card = parse(domain.XMLDesc(0)).find("devices/interface")
    assert card is not None
    sub(card, "link", state="down")
    domain.updateDeviceFlags(text_of(card), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    read, lines = planned(bench, stored, raw)
    (line,) = [one for one in lines if one.startswith("nics[0]: ") and "its link is down" in one]
    assert "next power cycle" not in line.partition("its link")[2]
    stored = bench.update("Instance", read, raw).stored
    assert stored.state["pending"] == []
    now = parse(domain.XMLDesc(0)).find("devices/interface")
    assert now is not None
    assert value(now, "link/@state") in (None, "up")
    assert value(now, "alias/@name") == value(card, "alias/@name")
    bench.converged("Instance", stored, raw)


def test_a_plan_of_a_running_guest_looks_once_where_its_files_are(
    bench: Bench, made: Callable[[Bag], Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = running(bench, bench.name("once"))
    stored = bench.read("Instance", made(raw))
    assert stored is not None
    looks: list[None] = []

    def look(*arguments: Any) -> Any:
        looks.append(None)
        return places(*arguments)

    places = storage.places
    monkeypatch.setattr(storage, "places", look)
    assert bench.plan("Instance", stored, raw) == []
    assert len(looks) == 1


def test_what_a_running_guest_has_wrong_waits_for_its_next_boot(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = running(bench, bench.name("wrong"))
    stored = made(raw)
    domain = domain_of(bench, stored)

    def edit(_: Any, root: Any) -> None:
        put(root, "os/boot/@dev", "network")
        drop(root, "devices/channel")

    domain_edited(edit)(bench, domain)
    # Only its definition: the guest that runs has it right, and nothing waits.
    read, lines = planned(bench, stored, raw)
    assert lines == ["rootDisk: the guest boots from network", "machine: its guest agent's channel is gone"]
    assert bench.update("Instance", read, raw).stored.state["pending"] == []
    domain_edited(edit)(bench, domain)
    domain.destroy()
    domain.create()
    read, lines = planned(bench, stored, raw)
    assert lines[0] == "rootDisk: takes effect at the next power cycle; the guest boots from network"
    stored = bench.update("Instance", read, raw).stored
    assert [one.partition(":")[0] for one in stored.state["pending"]] == ["boot", "devices"]
    stored = bench.converged("Instance", stored, raw)
    domain.destroy()
    domain.create()
    read, lines = planned(bench, stored, raw)
    assert (lines, read.state["pending"]) == ([], [])


def test_what_opens_a_guest_to_others_is_told_and_left_alone(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = stopped(bench, bench.name("open"))
    stored = made(raw)

    def edit(_: Any, root: Any) -> None:
        root.find("devices").extend([parse(OPEN), parse(SHARED)])

    domain_edited(edit)(bench, domain_of(bench, stored))
    read, lines = planned(bench, stored, raw)
    assert lines == []
    assert read.state["undeclared"] == ["graphics vnc on 0.0.0.0", "filesystem etc of /etc"]
    stored = bench.update("Instance", read, {**raw, "autostart": True}).stored
    assert stored.state["undeclared"] == read.state["undeclared"]
    bench.converged("Instance", stored, {**raw, "autostart": True})


def test_of_a_machine_that_we_did_not_make_all_that_is_its_makers(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = stopped(bench, bench.name("theirs"))
    stored = made(raw)

    def edit(_: Any, root: Any) -> None:
        drop(root, "metadata")
        put(root, "os/boot/@dev", "network")
        drop(root, "devices/channel")
        root.find("devices/interface").append(parse("<link state='down'/>"))

    domain = domain_of(bench, stored)
    before = domain.XMLDesc(2)
    domain_edited(edit)(bench, domain)
    found = bench.calls.import_("Instance", raw["name"], Work())
    assert found is not None
    assert bench.plan("Instance", found, found.inputs) == []
    bench.update("Instance", found, {**found.inputs, "autostart": True})
    root = parse(domain.XMLDesc(2))
    assert (value(root, "os/boot/@dev"), value(root, "devices/interface/link/@state")) == ("network", "down")
    assert root.find("devices/channel[@type='unix']") is None
    bench.connection.defineXML(before)  # so that its files go with it
