"""What an image is, told from its first bytes; no program that could be tricked by the image is run.

qcow2 has a magic number. Raw has none, so it is accepted only when it looks like a disk: a partition table,
a boot sector, or a file system. Everything else is refused, by the name of what it looks like, unless it was declared
to be raw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from jvp.core.errors import Invalid
from jvp.images import qcow2
from jvp.images.segments import HEAD_BYTES

Format = Literal["qcow2", "raw"]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image that can be used as it is: it needs no other file, no key and no repair."""

    format: Format
    virtual_bytes: int | None
    """What a guest sees; None for a raw image whose length is not known yet."""
    content: str
    """For a person: `GPT disk`, `ext4 file system`, `qcow2 version 3`."""


_FOREIGN: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\xfd7zXZ\x00", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"LZIP", "an lzip archive"),
    (0, b"\x04\x22\x4d\x18", "an lz4 archive"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"PK\x05\x06", "a zip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a rar archive"),
    (257, b"ustar", "a tar archive (an OVA is one, with the disk inside)"),
    (0, b"!<arch>\n", "a Debian package"),
    (0, b"\xed\xab\xee\xdb", "an RPM package"),
    (0, b"070701", "a cpio archive (an initrd)"),
    (0, b"\x7fELF", "an ELF program"),
    (0x202, b"HdrS", "a Linux kernel"),
    (0, b"KDMV", "a VMDK image"),
    (0, b"COWD", "a VMDK image"),
    (0, b"# Disk DescriptorFile", "a VMDK descriptor"),
    (0x40, b"\x7f\x10\xda\xbe", "a VDI image"),
    (0, b"vhdxfile", "a VHDX image"),
    (0, b"conectix", "a VHD image"),
    (0, b"QED\x00", "a QED image"),
    (0, b"WithoutFreeSpace", "a Parallels image"),
    (0, b"WithouFreSpacExt", "a Parallels image"),
    (0, b"LUKS\xba\xbe", "a LUKS container"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\x89PNG", "a picture"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
)
UNKNOWN: Final = (
    "the file does not look like a disk image: it has no format that is known, and no partition table, boot sector or "
    'file system; say that its format is "raw" where it is to be taken all the same'
)
_PROBED: Final = ("a VMDK image", "a VDI image", "a QED image")
"""What libvirt, which looks into the files of a pool, takes for another format than raw (tried, libvirt 9.0)."""
_CONVERTIBLE: Final = ("VMDK", "VDI", "VHD", "QED", "Parallels")

_DISKS: Final[tuple[tuple[int, bytes, str], ...]] = (
    (512, b"EFI PART", "GPT disk"),
    (4096, b"EFI PART", "GPT disk with sectors of 4096 bytes"),
    (0x8001, b"CD001", "ISO 9660 file system"),
    (0x8001, b"BEA01", "UDF file system"),
    (510, b"\x55\xaa", "disk with a boot sector"),
    (0x438, b"\x53\xef", "ext2, ext3 or ext4 file system"),
    (0, b"XFSB", "XFS file system"),
    (0x10040, b"_BHRfS_M", "btrfs file system"),
    (0, b"hsqs", "squashfs file system"),
    *((sector * 512, b"LABELONE", "LVM physical volume") for sector in range(4)),
    *((page - 10, b"SWAPSPACE2", "swap space") for page in (4096, 16384, 65536)),
)


def inspect(head: bytes, size: int | None, *, raw: bool = False) -> ImageInfo:
    """Say what the image is whose first bytes are `head` (`HEAD_BYTES` of them, fewer if it is shorter).

    `size` is the length of the whole file where it is known. `raw`: it was declared to be raw, so only what libvirt
    would take for another format is told from that. Raises Invalid in one sentence otherwise.
    """
    if size == 0 or not head:
        raise Invalid("the file is empty")
    if head.startswith(qcow2.MAGIC):
        image = qcow2.parse(head)
        qcow2.refuse_unusable(image, size)
        return ImageInfo("qcow2", image.virtual_bytes, f"qcow2 version {image.version}")
    for offset, magic, name in _FOREIGN:
        if head.startswith(magic, offset) and not (raw and name not in _PROBED):
            raise Invalid(_refusal(name))
    for offset, magic, name in _DISKS:
        if head.startswith(magic, offset):
            return ImageInfo("raw", size, name)
    if raw:
        return ImageInfo("raw", size, "raw data")
    unknown = _unknown(head)
    raise Invalid(_refusal(unknown) if unknown else UNKNOWN)


def _refusal(name: str) -> str:
    if name.endswith("archive"):
        return f"the file looks like {name}, not like a disk image; unpack it first"
    if any(word in name for word in _CONVERTIBLE):
        return f"the file looks like {name}; convert it with 'qemu-img convert -O qcow2'"
    return f"the file looks like {name}, not like a disk image"


def _unknown(head: bytes) -> str | None:
    """A name for what no magic number tells, None where nothing else tells it either."""
    if not head.strip(b"\0"):
        return "an empty disk" if len(head) >= HEAD_BYTES else "nothing but zeros"
    start = head[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    lower = start[:512].lower()
    if lower.startswith((b"<!doctype html", b"<html", b"<head")) or b"<html" in lower:
        return "an HTML page"
    if lower.startswith(b"<?xml"):
        return "an XML document"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer"
    if start[:1] in (b"{", b"["):
        kind = "a JSON document"
    elif start.startswith(b"#!"):
        kind = "a script"
    else:
        kind = "a text file"
    binary = any(byte < 0x20 and byte not in b"\t\n\r\f\x1b" for byte in start)
    return kind if start and not binary else None
