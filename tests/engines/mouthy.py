"""A guest of one sector: its firmware boots it, and it says one line on its serial console, twice a second."""

from __future__ import annotations

from pathlib import Path

SECTOR, LOADED_AT = 512, 0x7C00
IMAGE_BYTES = 2**20


def boot_sector(line: bytes) -> bytes:
    """Code for the 8086 that writes `line` to the first serial port, and again after a pause of the BIOS' clock."""
    code = bytes.fromhex(
        "31C0 8ED8 FC"  # xor ax, ax; mov ds, ax; cld
        "BE 1F7C"  # again: mov si, line
        "BA F803"  # mov dx, 3F8h
        "AC 84C0 7403"  # next: lodsb; test al, al; jz pause
        "EE EBF8"  # out dx, al; jmp next
        "B486 B90700 BA20A1 CD15"  # pause: int 15h, 500,000 us
        "EBE6"  # jmp again
    )
    assert LOADED_AT + len(code) == 0x7C1F
    program = code + line + b"\0"
    return program.ljust(SECTOR - 2, b"\0") + b"\x55\xaa"


def write(image: Path, line: bytes) -> Path:
    """The guest's disk."""
    image.write_bytes(boot_sector(line).ljust(IMAGE_BYTES, b"\0"))
    return image
