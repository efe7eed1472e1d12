"""What no property of a machine says: each part alone is missed, told and put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.resources.test_instance_xml import ours, spec_of

from jvp.libvirt.domain.devices import alias_of
from jvp.libvirt.link.xml import drop, parse, put, sub, text_of, value
from jvp.resources.instance import parts, upkeep
from jvp.resources.instance.definition import comparable

RAW: dict[str, Any] = {
    "name": "web", "template": "t", "iso": "p/cd", "disks": [{"name": "data", "volume": "p/data"}],
    "nics": [{"name": "eth0", "network": "n"}], "cloudInit": {"hostname": "web"},
}  # fmt: skip


def disk(root: Any, alias: str) -> Any:
    return next(one for one in root.iterfind("devices/disk") if alias_of(one) == alias)


def card(root: Any, text: str) -> None:
    root.find("devices/interface").append(parse(text))


CHANGES: dict[str, Callable[[Any], Any]] = {
    "its guest agent's channel is gone": lambda root: drop(root, "devices/channel"),
    "its serial console is gone": lambda root: drop(root, "devices/serial"),
    "its balloon is gone, without which memory cannot change": lambda root: drop(root, "devices/memballoon"),
    "its random numbers are gone": lambda root: drop(root, "devices/rng"),
    "its power button is gone": lambda root: drop(root, "features/acpi"),
    "what becomes of it when it ends is another": lambda root: put(root, "on_crash", "preserve"),
    "the guest may only read it": lambda root: sub(disk(root, "ua-jvp-root"), "readonly"),
    "the guest may write to it": lambda root: drop(disk(root, "ua-jvp-iso"), "readonly"),
    "the guest may write to its disk": lambda root: drop(disk(root, "ua-jvp-seed"), "readonly"),
    "its disk is given to the guest as qcow2, and is raw": lambda root: put(
        disk(root, "ua-jvp-seed"), "driver/@type", "qcow2"
    ),
    "it is given to the guest as raw, and is qcow2": lambda root: put(
        disk(root, "ua-jvp-disk-data"), "driver/@type", "raw"
    ),
    "its link is down": lambda root: card(root, "<link state='down'/>"),
    "somebody limits its bandwidth": lambda root: card(root, "<bandwidth><inbound average='1'/></bandwidth>"),
    "somebody filters what goes through it": lambda root: card(root, "<filterref filter='clean-traffic'/>"),
    "the guest boots from network, cdrom": lambda root: put(root, "os/boot/@dev", "network"),
    "the guest boots from nothing": lambda root: [drop(root, "os/boot") for _ in range(2)],
}


@pytest.mark.parametrize("what", CHANGES)
def test_each_is_told_and_put_right(what: str) -> None:
    root = ours(spec_of(RAW))
    whole = comparable(root)
    places = upkeep.Places(formats=(("data", "qcow2"),))
    assert upkeep.mend(root, places) == []
    CHANGES[what](root)
    assert [fault.what for fault in upkeep.mend(root, places)] == [what]
    assert upkeep.mend(parse(text_of(root)), places) == []
    assert comparable(root) == whole
    assert not parts.lost(root)


def test_a_device_with_a_number_of_its_own_comes_last_again() -> None:
    root = ours(spec_of(RAW))
    for _ in range(2):
        drop(root, "os/boot")
    sub(root.find("devices/interface"), "boot", order="1")
    (fault,) = upkeep.mend(root, upkeep.Places())
    assert fault == upkeep.Fault(upkeep.BOOT, "the guest boots from ua-jvp-nic-eth0")
    assert [one.get("dev") for one in root.iterfind("os/boot")] == ["hd", "cdrom"]
    assert root.find("devices/interface/boot") is None


def test_files_go_back_where_they_are() -> None:
    root = ours(spec_of(RAW))
    faults = upkeep.mend(root, upkeep.Places(root="/p/root", seed="/p/seed"))
    assert [fault.path for fault in faults] == [("rootDisk",), ("cloudInit",)]
    assert value(disk(root, "ua-jvp-root"), "source/@file") == "/p/root"
    assert value(disk(root, "ua-jvp-seed"), "source/@file") == "/p/seed"
