"""What is taken out of Debian's kernel package: the ELF kernel for a PVH start, and modules in loading order."""

import lzma
import re
import struct
import subprocess
import zlib
from collections.abc import Iterable
from pathlib import Path

# Linux x86 boot protocol (Documentation/arch/x86/boot.rst): where the compressed kernel lies inside bzImage.
SETUP_SECTS = 0x1F1
PAYLOAD = 0x248
SECTOR = 512

ELF = b"\x7fELF"
XZ = b"\xfd7zXZ\x00"
GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
LZ4 = b"\x02\x21\x4c\x18"
GZIP_WINDOW = 31


def find(linux: Path) -> tuple[Path, str]:
    """The kernel image of an unpacked package, and its version."""
    image = next((linux / "boot").glob("vmlinuz-*"))
    return image, image.name.removeprefix("vmlinuz-")


def vmlinux(bzimage: bytes) -> bytes:
    """The ELF file that a bzImage carries."""
    start = (bzimage[SETUP_SECTS] + 1) * SECTOR
    offset, length = struct.unpack_from("<II", bzimage, PAYLOAD)
    elf = _decompress(bzimage[start + offset : start + offset + length])
    if not elf.startswith(ELF):
        raise ValueError("the kernel image holds no ELF file")
    return elf


def _decompress(payload: bytes) -> bytes:
    # Four bytes with the result's size follow each stream; commands would take them for garbage.
    if payload.startswith(XZ):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(GZIP):
        return zlib.decompressobj(GZIP_WINDOW).decompress(payload)
    if payload.startswith(ZSTD):
        return _filtered(["zstd", "-dcq"], payload[:-4])
    if payload.startswith(LZ4):
        return _filtered(["lz4", "-dcq"], payload[:-4])
    raise ValueError(f"the kernel is compressed in a way that is not known here: {payload[:6].hex()}")


def _filtered(command: list[str], content: bytes) -> bytes:
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout


def modules(linux: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The named modules and all that they need, uncompressed, in the order in which they can be loaded.

    A name that the package does not have is built into the kernel.
    """
    folder = next(path for path in (linux / "lib" / "modules", linux / "usr" / "lib" / "modules") if path.is_dir())
    files = {_plain(path.name.split(".ko")[0]): path for path in folder.rglob("*.ko*")}
    ordered: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in ordered or name not in files:
            return
        content = _uncompressed(files[name])
        for needed in _depends(content):
            add(needed)
        ordered[name] = content

    for name in names:
        add(_plain(name))
    return ordered


def _plain(name: str) -> str:
    """File names have dashes where module names have underscores."""
    return name.replace("-", "_")


def _uncompressed(path: Path) -> bytes:
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


def _depends(module: bytes) -> list[str]:
    """The modules that one says it needs, in its .modinfo section."""
    found = re.search(rb"\x00depends=([^\x00]*)\x00", module)
    return [_plain(name) for name in found.group(1).decode("ascii").split(",") if name] if found else []
