"""Where the file systems of a disk may begin: its partitions by GPT or MBR, or the disk itself."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from jvp.images.ranged import GaveUp, Read, exactly

_ENTRIES_MAX: Final = 128
_EXTENDED: Final = (0x05, 0x0F, 0x85)


def starts(read: Read) -> Iterator[int]:
    """The bytes at which they begin, each once; the disk's own first. Raises GaveUp."""
    yield 0
    seen = {0}
    for start in _gpt(read) or _mbr(read):
        if start not in seen:
            seen.add(start)
            yield start


def _gpt(read: Read) -> list[int]:
    """Source: UEFI specification 2.10, 5.3. Checksums are passed over: nothing is written."""
    for sector in (512, 4096):
        head = read(sector, 92)
        if len(head) < 92 or not head.startswith(b"EFI PART"):
            continue
        table, count, length = struct.unpack_from("<QII", head, 72)
        if not 128 <= length <= 4096:
            raise GaveUp("entries of no size that is known")
        entries = (read(table * sector + index * length, 48) for index in range(min(count, _ENTRIES_MAX)))
        used = [entry for entry in entries if len(entry) == 48 and entry[:16].strip(b"\0")]
        return [int.from_bytes(entry[32:40], "little") * sector for entry in used]
    return []


def _mbr(read: Read) -> list[int]:
    """The four primary partitions: images of distributions have no more."""
    sector = exactly(read, 0, 512)
    if sector[510:] != b"\x55\xaa":
        return []
    entries = [sector[at : at + 16] for at in range(446, 510, 16)]
    kinds = [entry[4] for entry in entries]
    places = [int.from_bytes(entry[8:12], "little") * 512 for entry in entries]
    return [place for kind, place in zip(kinds, places, strict=True) if kind and kind not in _EXTENDED and place]
