"""Where an instance runs on its node, in its XML: on which CPUs, and what its memory is made of."""

from __future__ import annotations

from typing import Any

from jvp.core.diff import Change, Kind
from jvp.core.types import size_bytes
from jvp.libvirt.link.xml import Element, drop, ensure, number, put, sub, value
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.instance.processor_model import HUGE_PAGES, MemoryBacking, cpus_in

CPUSET, BACKING = "cpuset", "memoryBacking"
_UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_NOTHING = (None, False, False)


def share_memory(root: Element) -> None:
    """Have processes of the node see the guest's memory, as virtiofs needs it."""
    if not _is_shared(root):
        if root.find("memoryBacking/source") is None:
            put(root, "memoryBacking/source/@type", "memfd")
        put(root, "memoryBacking/access/@mode", "shared")


def _is_shared(root: Element) -> bool:
    return value(root, "memoryBacking/access/@mode") == "shared"


def _pages_of(root: Element) -> str | None:
    """The size of the huge pages, where a program can say it: one for all of the memory."""
    pages = root.findall("memoryBacking/hugepages/page")
    if len(pages) != 1 or pages[0].get("nodeset") is not None:
        return None
    size = (number(pages[0], "@size") or 0) * _UNITS.get(pages[0].get("unit", "KiB"), 0)
    return next((one for one in HUGE_PAGES if size_bytes(one) == size), None)


def _backing_of(root: Element) -> tuple[Any, ...]:
    return (_pages_of(root), _is_shared(root), root.find("memoryBacking/locked") is not None)


def told(root: Element) -> dict[str, Any]:
    """What can differ between the running and the inactive definition, where it is not as in any machine."""
    cpus, backing = cpus_in(value(root, "vcpu/@cpuset") or ""), _backing_of(root)
    return ({CPUSET: cpus} if cpus else {}) | ({BACKING: backing} if backing != _NOTHING else {})


def state_of(seen: dict[str, Any], prior: InstanceState | None) -> dict[str, Any]:
    """The properties, of what was seen of both definitions."""
    pages, shared, locked = seen.get(BACKING) or _NOTHING
    is_any = BACKING in seen or (prior is not None and prior.memory_backing is not None)
    backing = MemoryBacking.model_construct(huge_pages=pages, shared=shared, locked=locked)
    return {CPUSET: seen.get(CPUSET), "memory_backing": backing if is_any else None}


def write(root: Element, spec: Instance) -> None:
    """Write what is declared."""
    if spec.cpuset is not None and cpus_in(spec.cpuset) != cpus_in(value(root, "vcpu/@cpuset") or ""):
        put(root, "vcpu/@cpuset", cpus_in(spec.cpuset))
    backing = spec.memory_backing
    if not isinstance(backing, MemoryBacking):
        return
    if backing.huge_pages is not None and backing.huge_pages != _pages_of(root):
        drop(root, "memoryBacking/hugepages")
        size = str(size_bytes(backing.huge_pages) // 1024)
        sub(ensure(root, "memoryBacking/hugepages"), "page", size=size, unit="KiB")
    if backing.shared:
        share_memory(root)
    else:
        _drop(root, "source", "access")
    if not backing.locked:
        _drop(root, "locked")
    elif root.find("memoryBacking/locked") is None:
        sub(ensure(root, "memoryBacking"), "locked")


def _drop(root: Element, *tags: str) -> None:
    """Take these out of what the memory is made of, and that once it says nothing."""
    for tag in tags:
        drop(root, f"memoryBacking/{tag}")
    there = root.find("memoryBacking")
    if there is not None and not len(there):
        root.remove(there)


def take_out(root: Element, change: Change) -> None:
    """Take out what the program says no longer."""
    if change.kind is not Kind.DELETE:
        return
    if change.path == (CPUSET,):
        put(root, "vcpu/@cpuset", None)
    if change.path == (BACKING,):
        _drop(root, "hugepages", "source", "access", "locked")
    if change.path == (BACKING, "hugePages"):
        _drop(root, "hugepages")
