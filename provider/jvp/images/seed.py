"""The disk from which cloud-init takes its first instructions (data source NoCloud).

A flat ISO 9660 image with a Joliet tree, written here: 25 fixed sectors and three files. pycdlib would do it
too, but puts the current time in two dozen places, so equal input would not give equal bytes.
Source: ECMA-119; Microsoft, Joliet Specification; cloud-init, reference/datasources/nocloud.
"""

from __future__ import annotations

import json
import re
import struct
from typing import Any, Final

from jvp.core.errors import Invalid

LABEL: Final = "cidata"
LABEL_AT: Final = 16 * 2048 + 40
"""Where an image says its label."""
_SECTOR: Final = 2048
_PRIMARY_VD, _JOLIET_VD, _END_VD = 16, 17, 18
_PRIMARY_L, _PRIMARY_M, _JOLIET_L, _JOLIET_M = 19, 20, 21, 22
_PRIMARY_ROOT, _JOLIET_ROOT, _FIRST_FILE = 23, 24, 25
_PATH_TABLE_BYTES: Final = 10  # the root only
_WHEN: Final = bytes((80, 1, 1, 0, 0, 0, 0))  # 1980: equal input gives equal bytes

# JSON is YAML, but for characters that YAML wants escaped, and those that it takes for line breaks
_NOT_YAML: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def build_seed(
    meta: dict[str, Any],
    user_data: str | bytes,
    network: dict[str, Any] | str | None = None,
    vendor_data: bytes | None = None,
) -> bytes:
    """The image, to be given to the guest as a read-only disk.

    meta: at least `instance-id`; user_data: as cloud-init takes it (`#cloud-config`, a script, gzip, …);
    network: the contents of network-config, as data or as its text; vendor_data: in the forms of user_data. Equal
    arguments give equal bytes. Raises Invalid.
    """
    if not meta.get("instance-id"):
        raise Invalid("cloud-init needs an instance-id to tell a first boot from a later one")
    try:
        told = user_data.encode() if isinstance(user_data, str) else user_data
        files = {"meta-data": yaml(meta).encode(), "user-data": told}
        if network is not None:
            files["network-config"] = (network if isinstance(network, str) else yaml(network)).encode()
        if vendor_data is not None:
            files["vendor-data"] = vendor_data
    except UnicodeEncodeError:
        raise Invalid("the cloud-init data holds half of a surrogate pair, which no encoding can carry") from None
    return write_iso(files, LABEL)


def yaml(value: Any) -> str:
    """JSON that every YAML parser reads as the same value. Raises Invalid for what neither can hold."""
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Invalid(f"not data that cloud-init can be given: {error}") from None
    return _NOT_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def write_iso(files: dict[str, bytes], label: str) -> bytes:
    """An ISO 9660 image with `files` in its only folder.

    Names: at most 28 characters of lower-case ASCII, which Linux reads back alike with and without Joliet.
    """
    names = sorted(files)
    lengths = [-(-len(files[name]) // _SECTOR) for name in names]
    starts = [_FIRST_FILE + sum(lengths[:index]) for index in range(len(names))]
    sectors = _FIRST_FILE + sum(lengths)
    image = bytearray(sectors * _SECTOR)

    def put(sector: int, content: bytes) -> None:
        image[sector * _SECTOR : sector * _SECTOR + len(content)] = content

    for joliet in (False, True):
        root = _JOLIET_ROOT if joliet else _PRIMARY_ROOT
        put(_JOLIET_VD if joliet else _PRIMARY_VD, _volume_descriptor(label, sectors, root, joliet=joliet))
        for order, sector in (
            ("<", _JOLIET_L if joliet else _PRIMARY_L),
            (">", _JOLIET_M if joliet else _PRIMARY_M),
        ):
            put(sector, struct.pack(order + "BBIHBB", 1, 0, root, 1, 0, 0))
        records = _record(b"\0", root, _SECTOR, folder=True) + _record(b"\1", root, _SECTOR, folder=True)
        for name, start in zip(names, starts, strict=True):
            spelled = name.encode("utf-16-be") if joliet else f"{name.upper()}.;1".encode("ascii")
            records += _record(spelled, start, len(files[name]))
        if len(records) > _SECTOR:
            raise Invalid("too many files for a seed")
        put(root, records)
    put(_END_VD, b"\xffCD001\x01")
    for name, start in zip(names, starts, strict=True):
        put(start, files[name])
    return bytes(image)


def _both32(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _record(name: bytes, start: int, length: int, *, folder: bool = False) -> bytes:
    """ECMA-119 9.1, a directory record."""
    body = b"\0" + _both32(start) + _both32(length) + _WHEN + bytes((2 if folder else 0, 0, 0)) + _both16(1)
    body += bytes((len(name),)) + name
    body += b"\0" * ((len(body) + 1) % 2)
    return bytes((len(body) + 1,)) + body


def _volume_descriptor(label: str, sectors: int, root: int, *, joliet: bool) -> bytes:
    """ECMA-119 8.4 (primary) and 8.5 (supplementary, here Joliet)."""

    def text(value: str, width: int) -> bytes:
        if not joliet:
            return value.encode("ascii").ljust(width)
        return value.ljust(width // 2).encode("utf-16-be").ljust(width, b"\0")

    paths = (_JOLIET_L, _JOLIET_M) if joliet else (_PRIMARY_L, _PRIMARY_M)
    no_date = b"0" * 16 + b"\0"
    content = b"".join(
        (
            b"\x02" if joliet else b"\x01", b"CD001\x01\0", text("", 32), text(label, 32), bytes(8),
            _both32(sectors), (b"%/E" if joliet else b"").ljust(32, b"\0"), _both16(1), _both16(1),
            _both16(_SECTOR), _both32(_PATH_TABLE_BYTES), struct.pack("<II", paths[0], 0),
            struct.pack(">II", paths[1], 0), _record(b"\0", root, _SECTOR, folder=True),
            *(text("", 128) for _ in range(4)), *(text("", 37) for _ in range(3)), no_date * 4, b"\x01",
        )
    )  # fmt: skip
    return content.ljust(_SECTOR, b"\0")
