"""The sentence about a name, or a folder, that another object has.

It is written here alone, of the facts that the error carries. How to import the object says the door.
"""

from __future__ import annotations

from jvp.core.errors import NameTaken, Path
from jvp.core.identity import Mark, maker

OTHER_NAME = "choose another name"
KEPT = "which this program made under another name or kept"


def name_taken(
    kind: str,
    name: str,
    *,
    id: str,
    holder: Mark | None,
    pool: str = "",
    made: str = "",
    way: str = OTHER_NAME,
    path: Path = ("name",),
) -> NameTaken:
    """The error for a name that an object of this kind has.

    Of what lies in a `pool` that is told in place of the id. `made` is who made it, where the mark alone does not tell.
    """
    article = "an" if kind[0] in "aeiou" else "a"
    there = f'in the storage pool "{pool}" already' if pool else f"already, with the id {id}"
    message = f'there is {article} {kind} "{name}" {there}, {made or maker(holder)}; {way}'
    return NameTaken(message, path=path, kind=kind, name=name, id=id, holder=holder)


def folder_taken(kind: str, name: str, how: str, *, id: str, holder: Mark | None) -> NameTaken:
    """The error for a folder that is another object's; `how` says so up to that object."""
    return _place_taken(kind, name, how, "folder", ("path",), id, holder)


def device_taken(kind: str, name: str, device: str, *, id: str, holder: Mark | None) -> NameTaken:
    """The error for a device that is another object's."""
    return _place_taken(kind, name, f'"{device}" is the device of', "device", ("source", "device"), id, holder)


def _place_taken(kind: str, name: str, how: str, what: str, path: Path, id: str, holder: Mark | None) -> NameTaken:
    message = f'{how} the {kind} "{name}" with the id {id}, {maker(holder)}; choose another {what}'
    return NameTaken(message, path=path, kind=kind, name=name, id=id, holder=holder)


def being_made(kind: str, name: str, *, pool: str, record: str, path: Path) -> NameTaken:
    """The error for a name that another create has claimed with the volume `record`."""
    message = (
        f'{kind} "{name}" in the storage pool "{pool}" is being made by another resource of jvp; if none is, remove '
        f'the volume "{record}", or {OTHER_NAME}'
    )
    return NameTaken(message, path=path, kind=kind, name=name)
