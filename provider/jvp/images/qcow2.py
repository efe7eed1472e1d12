"""The header of a qcow2 image, read without qemu-img.

Source: QEMU, docs/interop/qcow2.txt; the limits are those of block/qcow2.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from jvp.core.errors import Invalid

MAGIC: Final = b"QFI\xfb"

_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN: Final = _DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED_L2
_EXT_END, _EXT_BACKING_FORMAT, _EXT_DATA_FILE = 0, 0xE2792ACA, 0x44415441
_L1_BYTES_MAX: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Qcow2:
    """What the header says; nothing in it is judged beyond being readable."""

    version: int
    virtual_bytes: int
    cluster_bytes: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    backing_file: str | None
    backing_format: str | None
    data_file: str | None
    encrypted: bool
    corrupt: bool
    external_data: bool
    extended_l2: bool
    unknown_features: int


def parse(head: bytes) -> Qcow2:
    """Read the header from the first bytes of the file. Raises Invalid when it is cut off or broken."""
    if len(head) < 72 or not head.startswith(MAGIC):
        raise Invalid("the image starts like qcow2, but its header is cut off")
    (version, backing_at, backing_length, cluster_bits, size, crypt, l1_entries, l1_at, refcount_at,
     refcount_clusters, _snapshots, _snapshots_at) = struct.unpack_from(">IQIIQIIQQIIQ", head, 4)  # fmt: skip
    if version not in (2, 3):
        raise Invalid(f"the image is qcow version {version}; only qcow2 (versions 2 and 3) can be used")
    features, header_bytes = 0, 72
    if version == 3:
        if len(head) < 104:
            raise Invalid("the image starts like qcow2, but its header is cut off")
        features, _compatible, _autoclear, _order, header_bytes = struct.unpack_from(">QQQII", head, 72)
        if header_bytes < 104 or header_bytes > 65536:
            raise Invalid(f"the image's qcow2 header is broken: it claims to be {header_bytes} bytes long")
    if not 9 <= cluster_bits <= 21:
        raise Invalid(f"the image's qcow2 header is broken: clusters of 2^{cluster_bits} bytes do not exist")
    cluster = 1 << cluster_bits
    backing = None
    if backing_at:
        end = backing_at + backing_length
        if not backing_length or backing_length > 1023 or backing_at < header_bytes or end > cluster:
            raise Invalid("the image's qcow2 header is broken: the name of its backing file lies outside of it")
        if end > len(head):
            raise Invalid("the image starts like qcow2, but its header is cut off")
        backing = head[backing_at:end].decode(errors="replace")
    backing_format = data_file = None
    for kind, content in _extensions(head, header_bytes, backing_at or cluster):
        if kind == _EXT_BACKING_FORMAT:
            backing_format = content.decode(errors="replace")
        elif kind == _EXT_DATA_FILE:
            data_file = content.decode(errors="replace")
    return Qcow2(
        version=version, virtual_bytes=size, cluster_bytes=cluster, l1_entries=l1_entries, l1_offset=l1_at,
        refcount_offset=refcount_at, refcount_clusters=refcount_clusters, backing_file=backing,
        backing_format=backing_format, data_file=data_file, encrypted=crypt != 0,
        corrupt=bool(features & _CORRUPT), external_data=bool(features & _DATA_FILE),
        extended_l2=bool(features & _EXTENDED_L2), unknown_features=features & ~_KNOWN,
    )  # fmt: skip


def _extensions(head: bytes, start: int, end: int) -> list[tuple[int, bytes]]:
    """The header's extensions as (type, content). Version 2 may hold them too."""
    found = []
    at = start
    while at + 8 <= end:
        if at + 8 > len(head):
            raise Invalid("the image starts like qcow2, but its header is cut off")
        kind, length = struct.unpack_from(">II", head, at)
        if kind == _EXT_END:
            break
        if at + 8 + length > end:
            raise Invalid("the image's qcow2 header is broken: an extension reaches beyond it")
        if at + 8 + length > len(head):
            raise Invalid("the image starts like qcow2, but its header is cut off")
        found.append((kind, head[at + 8 : at + 8 + length]))
        at += 8 + (length + 7) // 8 * 8
    return found


def refuse_unusable(image: Qcow2, size: int | None) -> None:
    """Raise Invalid for an image that needs other files, a key or a repair. `size` is the file's."""
    if image.backing_file is not None:
        raise Invalid(
            f"the image needs a backing file ({image.backing_file!r}); flatten it with 'qemu-img convert -O qcow2'"
        )
    if image.external_data or image.data_file is not None:
        named = f" ({image.data_file!r})" if image.data_file else ""
        raise Invalid(f"the image keeps its data in another file{named}; join them with 'qemu-img convert -O qcow2'")
    if image.encrypted:
        raise Invalid("the image is encrypted; decrypt it with 'qemu-img convert'")
    if image.corrupt:
        raise Invalid("the image is marked as corrupt; mend it with 'qemu-img check -r all'")
    if image.unknown_features:
        raise Invalid(f"the image uses qcow2 features that are not known here (bits {image.unknown_features:#x})")
    if not 0 < image.virtual_bytes < 2**63:
        raise Invalid(f"the image's qcow2 header is broken: a disk of {image.virtual_bytes} bytes cannot be")
    entry_bytes = 16 if image.extended_l2 else 8
    covered = image.cluster_bytes * (image.cluster_bytes // entry_bytes)  # by one entry of L1
    needed = -(-image.virtual_bytes // covered)
    if image.l1_entries < needed or image.l1_entries * 8 > _L1_BYTES_MAX:
        raise Invalid(
            f"the image's qcow2 header is broken: a disk of {image.virtual_bytes} bytes needs "
            f"{needed} L1 entries, and it has {image.l1_entries}"
        )
    tables = {
        "L1 table": (image.l1_offset, image.l1_entries * 8),
        "refcount table": (image.refcount_offset, image.refcount_clusters * image.cluster_bytes),
    }
    for name, (offset, length) in tables.items():
        if not offset or not length or offset % image.cluster_bytes or offset >= 2**56:
            raise Invalid(f"the image's qcow2 header is broken: its {name} cannot be at byte {offset}")
        if size is not None and offset + length > size:
            raise Invalid(f"the image is cut off: its {name} ends at byte {offset + length} of a file of {size} bytes")
