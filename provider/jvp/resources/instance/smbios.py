"""What the firmware's tables say of a machine, in its XML. Tables and entries that no program declares stay."""

from __future__ import annotations

from typing import Any

from jvp.core.diff import Change, Kind
from jvp.core.model import Spec
from jvp.libvirt.link.xml import Element, drop, ensure, put, sub
from jvp.resources.instance.devices_model import Smbios, SmbiosBoard, SmbiosChassis, SmbiosSystem
from jvp.resources.instance.model import Instance, InstanceState

_SMBIOS = "smbios"
_TABLES: dict[str, tuple[str, type[Spec]]] = {
    "system": ("system", SmbiosSystem),
    "baseboard": ("baseBoard", SmbiosBoard),
    "chassis": ("chassis", SmbiosChassis),
}
"""By the property: libvirt's name of the table, and what a program can say in it."""
_OEM, _OEM_TABLE = "oemStrings", "oemStrings"


def _tables(root: Element) -> Element | None:
    return next((one for one in root.iterfind("sysinfo") if one.get("type") == "smbios"), None)


def told(root: Element) -> dict[str, Any]:
    """What can differ between two definitions: the tables and their entries, sorted."""
    tables = _tables(root)
    if tables is None or root.find("os/smbios[@mode='sysinfo']") is None:
        return {}
    entries = sorted(
        (name, entry.get("name") or "", entry.text or "")
        for name, (tag, model) in _TABLES.items()
        for entry in tables.iterfind(f"{tag}/entry")
        if entry.get("name") in model.model_fields
    )
    texts = tuple(one.text or "" for one in tables.iterfind(f"{_OEM_TABLE}/entry"))
    return {_SMBIOS: (*entries, *((_OEM, texts) for _ in texts[:1]))} if entries or texts else {}


def state_of(seen: dict[str, Any], prior: InstanceState | None) -> dict[str, Any]:
    """The property."""
    if (found := seen.get(_SMBIOS)) is None:
        return {_SMBIOS: None}
    values: dict[str, Any] = {}
    texts: list[str] = []
    for one in found:
        if one[0] == _OEM:
            texts = [*one[1]]
        else:
            values.setdefault(one[0], {})[one[1]] = one[2]
    tables: dict[str, Any] = {name: _TABLES[name][1].model_construct(**given) for name, given in values.items()}
    return {_SMBIOS: Smbios.model_construct(**tables, oem_strings=texts)}


def write(root: Element, spec: Instance) -> None:
    """Write what is declared."""
    if spec.smbios is None:
        return
    given = {
        (tag, name): text
        for field, (tag, model) in _TABLES.items()
        if (table := getattr(spec.smbios, field)) is not None
        for name in model.model_fields
        if (text := getattr(table, name)) is not None
    }
    put(root, "os/smbios/@mode", "sysinfo")
    tables = ensure(root, "sysinfo[@type=smbios]")
    for (tag, name), text in given.items():
        put(tables, f"{tag}/entry[@name={name}]", text)
    if spec.smbios.oem_strings:
        drop(tables, _OEM_TABLE)
        strings = ensure(tables, _OEM_TABLE)
        for text in spec.smbios.oem_strings:
            sub(strings, "entry", text)


def take_out(root: Element, change: Change) -> None:
    """Take out what the program says no longer: all, a table, or an entry of one."""
    tables = _tables(root)
    gone = change.kind is Kind.DELETE or change.new == []
    if change.path[0] != _SMBIOS or not gone or tables is None:
        return
    field, name = (str(one) for one in (*change.path[1:3], "", "")[:2])
    for one, (tag, model) in _TABLES.items():
        for entry in model.model_fields if field in ("", one) else ():
            if name in ("", entry):
                drop(tables, f"{tag}/entry[@name='{entry}']")
        if (table := tables.find(tag)) is not None and not len(table):
            tables.remove(table)
    if field in ("", _OEM):
        drop(tables, _OEM_TABLE)
    if not len(tables):
        root.remove(tables)
        drop(root, "os/smbios")
