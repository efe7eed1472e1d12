"""`xml`: what no property says is written, compared path by path, put back, and never what a property says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.contract.conftest import Bench, domain_of
from tests.contract.kinds import running

from jvp.core.errors import Rejected
from jvp.core.facts import Effect
from jvp.core.stored import Stored
from jvp.libvirt.link.xml import drop, parse, put, text_of, value
from jvp.resources.provider import Provider

Bag = dict[str, Any]
HIDDEN, PEN = "features/kvm/hidden/@state", "devices/input[alias/@name='ua-pen']"
OWN = {
    HIDDEN: "on",
    PEN: "<input type='tablet' bus='virtio'><alias name='ua-pen'/></input>",
    "devices/controller[@type='usb']/@model": "qemu-xhci",
    "devices/memballoon/stats/@period": "5",
}
INACTIVE = 2


def bare(bench: Bench, **more: Any) -> Bag:
    """An instance that boots nothing, without disks and cards."""
    full = running(bench, bench.name("own"))
    return {name: one for name, one in full.items() if name not in ("disks", "nics")} | more


def said(bench: Bench, stored: Stored, path: str, flags: int = INACTIVE) -> str | None:
    return value(parse(domain_of(bench, stored).XMLDesc(flags)), path)


def test_what_no_property_says_is_written_changed_and_put_back(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = bare(bench, xml=OWN)
    stored = made(raw)
    for flags in (0, INACTIVE):
        root = parse(domain_of(bench, stored).XMLDesc(flags))
        assert value(root, "features/kvm/hidden/@state") == "on"
        assert "ua-pen" in [value(one, "alias/@name") for one in root.iterfind("devices/input")]
        assert value(root, "devices/memballoon/stats/@period") == "5"
    assert stored.state["xml"] == OWN
    assert not bench.plan("Instance", bench.read("Instance", stored), raw)

    less = {**raw, "xml": {HIDDEN: "off"}}
    changes = bench.calls.diff("Instance", stored, bench.inputs("Instance", less)).changes
    assert {(one.path[0], one.effect) for one in changes} == {("xml", Effect.NEXT_BOOT)}
    stored = bench.update("Instance", stored, less).stored
    assert stored.state["pendingRestart"] is True
    hidden = [said(bench, stored, "features/kvm/hidden/@state", flags) for flags in (INACTIVE, 0)]
    assert hidden == ["off", "on"]
    assert said(bench, stored, "devices/input[@bus=virtio]/@type") is None
    assert said(bench, stored, "devices/controller[@type=usb]/@model") == "none"
    assert said(bench, stored, "devices/memballoon/stats/@period") is None

    stored = bench.update("Instance", stored, {**less, "powerState": "stopped"}).stored
    assert stored.state["pendingRestart"] is False
    stored = bench.update("Instance", stored, {**raw, "powerState": "stopped", "xml": {}}).stored
    assert said(bench, stored, "features/kvm/hidden/@state") is None
    assert "urn:jvp:xml:1" not in domain_of(bench, stored).XMLDesc(INACTIVE)


def test_what_somebody_edits_is_drift_of_its_path_alone(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = bare(bench, xml=OWN, powerState="stopped")
    stored = made(raw)
    root = parse(domain_of(bench, stored).XMLDesc(INACTIVE))
    put(root, "features/kvm/hidden/@state", "off")
    drop(root, "devices/input[@bus='virtio']")
    put(root, "devices/panic/@model", "isa")
    bench.connection.defineXML(text_of(root))
    read = bench.read("Instance", stored)
    assert read.state["xml"] == {**OWN, HIDDEN: "off", PEN: ""}
    assert bench.plan("Instance", read, raw) == ["xml"]
    stored = bench.update("Instance", read, raw).stored
    assert stored.state["xml"] == OWN
    assert said(bench, stored, "devices/panic/@model") == "isa"


SCHEMA = "libvirt's schema does not allow this: Extra element"
REFUSED: list[tuple[dict[str, str], str, str]] = [
    ({"memory": "<memory unit='KiB'>1048576</memory>"}, "memory", "changes what maxMemory says; declare it there"),
    ({"os/type/@machine": "pc-q35-6.2"}, "os/type/@machine", "changes what machine says; declare it there"),
    ({"devices/rng": ""}, "devices/rng", "its random numbers are gone: every machine has that"),
    ({"os/boot[2]": "<boot dev='network'/>"}, "os/boot[2]", "changes what the guest boots from, which follows from"),
    ({"devices/controller/@index": "9"}, "devices/controller/@index", "elements; say which by a condition"),
    ({"devices/interface[2]/@x": "9"}, "devices/interface[2]/@x", "leads to nothing: there is no interface[2]"),
    ({"devices/redirdev[1]": "<redirdev bus='usb' type='warp'/>"}, "xml", f"{SCHEMA} devices"),
    ({"features/lasers/@state": "on"}, "xml", f"{SCHEMA} features"),
    ({"qemu:commandline": "<qemu:commandline><qemu:arg value='-S'/></qemu:commandline>"}, "qemu:commandline",
     "gives options to QEMU itself, which libvirt does not check; the provider's allowQemuOptions allows it"),
]  # fmt: skip


@pytest.mark.parametrize(("own", "path", "sentence"), REFUSED)
def test_what_is_refused_leaves_nothing(bench: Bench, own: dict[str, str], path: str, sentence: str) -> None:
    raw = bare(bench, xml=own)
    with pytest.raises(Rejected) as refused:
        bench.create("Instance", raw["name"], raw)
    assert sentence in str(refused.value)
    assert refused.value.path == (("xml",) if path == "xml" else ("xml", path))
    assert raw["name"] not in [one.name() for one in bench.connection.listAllDomains()]


def test_options_of_qemu_are_given_where_the_provider_allows_them(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    handler: Any = bench.calls.handlers["Instance"]
    own = {"qemu:commandline": "<qemu:commandline><qemu:arg value='-name'/><qemu:arg value='jvp'/></qemu:commandline>"}
    raw = bare(bench, xml=own)
    before, handler.provider = handler.provider, Provider(virt_type="qemu", allow_qemu_options=True)
    try:
        stored = made(raw)
        assert stored.state["xml"] == own
        assert not bench.plan("Instance", bench.read("Instance", stored), raw)
        assert "<qemu:arg value='-name'/>" in domain_of(bench, stored).XMLDesc(INACTIVE)
    finally:
        handler.provider = before
