"""Where the data of a domain's disk is: how its `<source>` is written and compared, by the type of the disk."""

from __future__ import annotations

from jvp.libvirt.link.xml import Element, drop, put

FILE, BLOCK = "file", "block"
_ATTRIBUTES = {FILE: "file", BLOCK: "dev"}


def path_in(source: Element) -> str | None:
    """The path that a `<source>` names, whatever the type of its disk; None where it names none."""
    return next((path for attribute in _ATTRIBUTES.values() if (path := source.get(attribute))), None)


def path_of(disk: Element) -> str | None:
    """The path of a disk's data on the node. Two sources are the same when it is."""
    source = disk.find("source")
    return path_in(source) if source is not None else None


def point(disk: Element, path: str, type: str = FILE) -> None:
    """Have a disk hold what is at `path`, of this type. Whatever else its source said stays where the type does."""
    if disk.get("type") != type:
        drop(disk, "source")
        disk.set("type", type)
    put(disk, f"source/@{_ATTRIBUTES[type]}", path)
