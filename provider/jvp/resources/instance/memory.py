"""A machine's memory as XML: in one piece, or in NUMA cells with DIMMs beside them, as somebody has laid it out.

Of a machine with cells libvirt makes `<memory>` the sum of cells and DIMMs, whatever is written there.
Source: libvirt, virDomainDefPostParseMemory.
"""

from __future__ import annotations

import re

from jvp.core.errors import Path, Rejected
from jvp.core.types import counted, memory_bytes
from jvp.libvirt.link import told
from jvp.libvirt.link.xml import Element, number, put
from jvp.resources.instance.model import Instance

_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)
_MIB = 1024
"""In KiB, the unit that libvirt writes."""


def put_room(root: Element, room: int) -> None:
    """Write how much memory (in KiB) the machine has at most. Cells share it in proportion, DIMMs stay."""
    put(root, "memory", str(room))
    put(root, "memory/@unit", "KiB")
    cells, dimms = _cells(root), _dimms(root)
    if not cells or sum(map(_size, cells)) + dimms == room:
        return
    for cell, share in zip(cells, _shares((room - dimms) // _MIB, [_size(cell) for cell in cells]), strict=True):
        cell.set("memory", str(share * _MIB))
        cell.set("unit", "KiB")
    if (number(root, "maxMemory") or room) < room:
        put(root, "maxMemory", str(room))


def too_little(root: Element, spec: Instance) -> Rejected | None:
    """What is to be said of a machine whose DIMMs and cells take more than it is to have; None of any other."""
    cells, dimms = _cells(root), _dimms(root)
    room = memory_bytes(spec.max_memory or spec.memory) // 1024
    least = dimms + len(cells) * _MIB
    if not cells or room >= least:
        return None
    roomy = spec.max_memory is not None and memory_bytes(spec.max_memory) != memory_bytes(spec.memory)
    path: Path = ("maxMemory",) if roomy else ("memory",)
    there = f"{dimms // _MIB} MiB in DIMMs and {counted(len(cells), 'NUMA cell')} beside them"
    return Rejected(
        f"is {room // _MIB} MiB, and the machine has {there}: write {-(-least // _MIB)}MiB or more, or take <memory> "
        'out of its devices with "virsh edit"',
        path=path,
    )


def cpus_in_cells(root: Element) -> int:
    """How many CPUs the cells name: `0,4-5` are three. Those that they do not name libvirt puts into the first."""
    ranges = [ends.groups() for cell in _cells(root) for ends in _RANGE.finditer(cell.get("cpus") or "")]
    return sum(max(0, int(last or first) - int(first) + 1) for first, last in ranges)


def _cells(root: Element) -> list[Element]:
    return root.findall("cpu/numa/cell")


def _size(cell: Element) -> int:
    return told.number(cell.get("memory")) or 0


def _dimms(root: Element) -> int:
    return sum(number(one, "target/size") or 0 for one in root.iterfind("devices/memory"))


def _shares(total: int, parts: list[int]) -> list[int]:
    """`total` in whole shares that are to each other as the parts are, each at least 1."""
    whole = sum(parts) or 1
    shares = [max(1, total * part // whole) for part in parts]
    owed = sorted(range(len(parts)), key=lambda index: -(total * parts[index] % whole))
    for index in owed[: max(0, total - sum(shares))]:
        shares[index] += 1
    while sum(shares) > total:
        shares[shares.index(max(shares))] -= 1
    return shares
