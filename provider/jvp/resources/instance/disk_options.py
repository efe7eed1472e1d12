"""What a disk is beside its data, in the XML of its device: how it is cached, its limits, by what the guest finds it.

What a program does not say of these stays as it is; what it has taken out goes.
"""

from __future__ import annotations

import typing
from typing import Any

from jvp.core.diff import Change, Kind
from jvp.core.errors import Path, Rejected
from jvp.core.facts import At
from jvp.core.model import FieldFacts, Spec, fields
from jvp.core.types import size_bytes
from jvp.libvirt.domain import devices
from jvp.libvirt.link import handles
from jvp.libvirt.link.xml import Element, drop, number, put, sub, value, write_facts
from jvp.resources.instance.disk_limits import DiskBandwidth, DiskIops, rate_text
from jvp.resources.instance.disk_model import NO_WWN, Disk, RootDisk, is_serial, is_wwn

SHAREABLE, SERIAL = "shareable", "serial"
LIMITS = {"iops": "iops", "bandwidth": "bytes"}
"""The limits, by property, and what libvirt's names have in common. These alone are changed live."""
_SIDES = ("total", "read", "write")


def told(device: Element) -> dict[str, Any]:
    """What can differ between two definitions of a disk, by property; what it has not is left out."""
    found: dict[str, Any] = {name: text for name, text in _texts(device).items() if text is not None}
    if device.find(SHAREABLE) is not None:
        # So it runs, whether the definition says so or not. Source: libvirt, qemuDomainPrepareDiskCachemode.
        found = {"cache": "none", **found, SHAREABLE: True}
    for name, model in (("iops", DiskIops), ("bandwidth", DiskBandwidth)):
        limits = tuple((side, rate) for side, rate in _numbers(model, device) if rate)
        found |= {name: limits} if limits else {}
    return found


def _texts(device: Element) -> dict[str, str | None]:
    return {field.name: value(device, at.path) for field in _plain(RootDisk) if (at := field.fact(At)) is not None}


def _plain(model: type[Spec]) -> list[FieldFacts]:
    return [field for field in fields(model).values() if field.fact(At) is not None]


def _numbers(model: type[Spec], device: Element) -> list[tuple[str, int | None]]:
    every = ((field.attribute, field.fact(At)) for field in fields(model).values())
    return [(side, number(device, at.path)) for side, at in every if at is not None]


def seen_in(seen: dict[str, Any], path: str, model: type[Disk | RootDisk]) -> dict[str, Any]:
    """The properties of a disk, from what `comparable` told of it at this path."""
    found: dict[str, Any] = {}
    for field in _plain(model):
        text = seen.get(f"{path}.{field.name}")
        found[field.attribute] = text if _is_declarable(field, text, seen.get(f"{path}.bus")) else None
    if (iops := seen.get(f"{path}.iops")) is not None:
        found["iops"] = DiskIops.model_construct(**dict(iops))
    if (rates := seen.get(f"{path}.bandwidth")) is not None:
        given: dict[str, Any] = {side: rate_text(rate) for side, rate in rates}
        found["bandwidth"] = DiskBandwidth.model_construct(**given)
    return found


def _is_declarable(field: FieldFacts, text: str | None, bus: str | None) -> bool:
    """Whether a program can say of a disk what somebody else made of it."""
    if not text:
        return False
    if field.name == SERIAL:
        return is_serial(text, bus)
    return is_wwn(text) if field.name == "wwn" else text in typing.get_args(field.annotation)


def write(device: Element, disk: Disk | RootDisk, path: Path) -> None:
    """Write what is declared of a disk. Raises Rejected for what its bus or its format has not."""
    declared = {field.name for field in _plain(type(disk)) if getattr(disk, field.attribute) is not None}
    write_facts(type(disk), device, disk, only=declared)
    if disk.wwn is not None and (bus := value(device, "target/@bus")) != "scsi":
        raise Rejected(f'{NO_WWN}, and its bus is "{bus}"', path=(*path, "wwn"))
    if isinstance(disk, Disk) and disk.shareable is not None:
        _share(device, disk.shareable)
    if device.find(SHAREABLE) is not None:
        refuse_format(value(device, "driver/@type") or "raw", path)
    if disk.iops is not None:
        _write_limits(device, disk.iops, str)
    if disk.bandwidth is not None:
        _write_limits(device, disk.bandwidth, lambda rate: str(size_bytes(rate)))


def refuse_format(format: str, path: Path) -> None:
    """Raise Rejected where a disk of this format is to be shared. Over a raw volume under a snapshot lies a qcow2 file.

    Source: libvirt refuses the same, "requires use of supported storage format" (tried).
    """
    if format != "raw":
        raise Rejected(
            f"its format is {format}, which only one guest at a time may open; several share a raw volume that no "
            "snapshot holds",
            path=(*path, SHAREABLE),
        )


def _share(device: Element, shares: bool) -> None:
    there = device.find(SHAREABLE) is not None
    if shares and not there:
        sub(device, SHAREABLE)
    elif there and not shares:
        drop(device, SHAREABLE)


def _write_limits(device: Element, limits: DiskIops | DiskBandwidth, text: Any) -> None:
    """Those that are set; what cannot stand beside them goes. Of both together or of each: libvirt takes one."""
    model, word = type(limits), "iops" if isinstance(limits, DiskIops) else "bytes"
    given = {field.attribute for field in fields(model).values() if getattr(limits, field.attribute) is not None}
    if given:
        for side in ("read", "write") if limits.total is not None else ("total",):
            _drop_limit(device, word, side)
    for field in fields(model).values():
        at = field.fact(At)
        if field.attribute in given and at is not None:
            put(device, at.path, text(getattr(limits, field.attribute)))


def _drop_limit(device: Element, word: str, side: str, *, burst_alone: bool = False) -> None:
    for end in ("_max", "_max_length") if burst_alone else ("", "_max", "_max_length"):
        put(device, f"iotune/{side}_{word}_sec{end}", None)


def keep(old: Element, new: Element) -> None:
    """Have the new device of a disk say what the old one said and the program may not."""
    without = {SERIAL, *(() if new.find("readonly") is None else ("discard",))}
    without |= set() if value(new, "target/@bus") == "scsi" else {"wwn"}
    for name, text in _texts(old).items():
        if text is not None and name not in without:
            at = fields(RootDisk)[name].fact(At)
            assert at is not None
            put(new, at.path, text)
    for tag in ("iotune", SHAREABLE):
        if (one := old.find(tag)) is not None:
            new.append(one)


def take_out(device: Element, change: Change, name: str, inside: Path) -> None:
    """Take an option out of a disk that the program says no longer; `inside` leads on, to one limit."""
    if change.kind is not Kind.DELETE:
        return
    if name in LIMITS:
        sides = [str(inside[0])] if inside else [*_SIDES]
        for side in sides:
            burst = side.endswith("Max")
            _drop_limit(device, LIMITS[name], side.removesuffix("Max"), burst_alone=burst)
    elif name == SHAREABLE:
        drop(device, SHAREABLE)
    elif name in fields(RootDisk) and (at := fields(RootDisk)[name].fact(At)) is not None:
        put(device, at.path, None)


def option_of(path: str) -> tuple[str, str] | None:
    """The disk and the option of a path as `comparable` gives it, like `disks.data.cache`; None of another path."""
    disk, _, name = path.rpartition(".")
    is_one = name in LIMITS or name == SHAREABLE or (name in fields(RootDisk) and _has_at(name))
    return (disk, name) if is_one and (disk == "rootDisk" or disk.count(".") == 1) else None


def _has_at(name: str) -> bool:
    return fields(RootDisk)[name].fact(At) is not None


_EVERY = ("size_iops_sec", *(
    f"{side}_{word}_sec{end}" for side in _SIDES for word in ("iops", "bytes") for end in ("", "_max")
))  # fmt: skip


def limit(domain: handles.Domain, running: Element, wanted: Element) -> None:
    """Give a disk of a running guest the limits of another definition of it. Raises libvirtError.

    Those that are not to be are told as 0: libvirt keeps what it is not told.
    """
    rates = {name: number(wanted, f"iotune/{name}") or 0 for name in _EVERY}
    lengths = {f"{name}_length": number(wanted, f"iotune/{name}_length") for name in _EVERY if name.endswith("_max")}
    given = {name: length for name, length in lengths.items() if length}
    domain.setBlockIoTune(value(running, "target/@dev") or "", {**rates, **given}, devices.LIVE)
