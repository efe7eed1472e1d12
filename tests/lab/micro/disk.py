"""The bootable disk: a FAT file system with syslinux over the whole disk, written without mounting it."""

from pathlib import Path

from tests.lab.micro.debian import run

MIB = 1024 * 1024
SIZE = 48 * MIB
SECTOR = 512


def build(target: Path, bzimage: Path, initrd: Path, cmdline: str) -> None:
    """Write a qcow2 image that BIOS boots into kernel and initrd."""
    raw = target.with_suffix(".raw")
    with raw.open("wb") as file:
        file.truncate(SIZE)
    run(["mformat", "-i", raw, "-T", str(SIZE // SECTOR), "-h", "16", "-s", "63", "-v", "MICRO", "::"])
    config = target.with_suffix(".cfg")
    config.write_text(_config(cmdline), encoding="ascii")
    for source, name in ((bzimage, "vmlinuz"), (initrd, "initrd"), (config, "syslinux.cfg")):
        run(["mcopy", "-i", raw, source, f"::{name}"])
    run(["syslinux", "--install", raw])
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", "compat=1.1", raw, target])
    raw.unlink()


def _config(cmdline: str) -> str:
    lines = ("DEFAULT micro", "PROMPT 0", "LABEL micro", " KERNEL vmlinuz", " INITRD initrd", f" APPEND {cmdline}")
    return "\n".join(lines) + "\n"
