"""The folders that a guest shares, in its XML: ours have an alias (`ua-jvp-fs-src`), and others stay as they are."""

from __future__ import annotations

from typing import Any

from jvp.core.diff import Change
from jvp.libvirt.domain.devices import alias_of
from jvp.libvirt.link.xml import Element, ensure, put, sub, value
from jvp.resources.instance.filesystems_model import Filesystem
from jvp.resources.instance.model import Instance, InstanceState

FS_ALIAS = "ua-jvp-fs-"
_PREFIX = "filesystems."
_VIRTIOFS, _9P = "virtiofs", "9p"


def is_declared(device: Element) -> bool:
    """Whether a shared folder is the program's."""
    return (alias_of(device) or "").startswith(FS_ALIAS)


def _tag(device: Element) -> str:
    return value(device, "target/@dir") or ""


def _facts(device: Element) -> tuple[Any, ...]:
    driver = _VIRTIOFS if value(device, "driver/@type") == _VIRTIOFS else _9P
    mode = device.get("accessmode") or "passthrough"
    return value(device, "source/@dir"), driver, device.find("readonly") is not None, mode


def told(root: Element) -> dict[str, Any]:
    """What can differ between two definitions, by `filesystems.` and the tag."""
    return {f"{_PREFIX}{_tag(one)}": _facts(one) for one in root.iterfind("devices/filesystem") if is_declared(one)}


def state_of(seen: dict[str, Any], prior: InstanceState | None) -> dict[str, Any]:
    """The property."""
    found = [
        Filesystem.model_construct(
            tag=path.removeprefix(_PREFIX), source=one[0], driver=one[1], read_only=one[2], access_mode=one[3]
        )
        for path, one in seen.items()
        if path.startswith(_PREFIX)
    ]
    return {"filesystems": found}


def write(root: Element, spec: Instance) -> None:
    """Write what is declared, and take out of ours what is not. One that another made by the same tag becomes ours."""
    devices, wanted = ensure(root, "devices"), {one.tag: one for one in spec.filesystems}
    there: dict[str, Element] = {_tag(one): one for one in devices.findall("filesystem")}
    for tag, device in there.items():
        if is_declared(device) and tag not in wanted:
            devices.remove(device)
    for tag, one in wanted.items():
        old = there.get(tag)
        facts = (one.source, one.driver, one.read_only, one.access_mode)
        if old is not None and _facts(old) != facts:
            devices.remove(old)
            old = None
        device = old if old is not None else _added(devices, one)
        put(device, "alias/@name", FS_ALIAS + tag)


def _added(devices: Element, one: Filesystem) -> Element:
    device = sub(devices, "filesystem", type="mount", accessmode=one.access_mode)
    if one.driver == _VIRTIOFS:
        sub(device, "driver", type=_VIRTIOFS)
    sub(device, "source", dir=one.source)
    sub(device, "target", dir=one.tag)
    if one.read_only:
        sub(device, "readonly")
    return device


def take_out(root: Element, change: Change) -> None:
    """Nothing: what is ours and not declared goes as the rest is written."""
