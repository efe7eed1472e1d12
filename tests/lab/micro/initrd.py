"""The initrd: busybox, the modules that a virtio guest needs, and the scripts in ``guest/``."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.micro.kernel import modules

# Loaded before anything else: network and disks; with a seed its filesystems; then the rest.
EARLY = ("virtio_pci", "virtio_net", "virtio_blk")
SEED = ("isofs", "vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8")
LATE = ("button", "evdev", "virtio_balloon", "virtio_console", "virtio_rng")

APPLETS = (
    *("cat", "dd", "findfs", "grep", "hostname", "ifconfig", "insmod", "ip", "kill", "mkdir", "mount"),
    *("poweroff", "reboot", "rm", "route", "sed", "sh", "sleep", "tr", "udhcpc", "umount"),
)

FOLDERS = ("bin", "dev", "proc", "sys", "tmp", "run", "seed", "lib", "lib/modules", "sbin")


@dataclass(frozen=True)
class Entry:
    """One file of the archive."""

    name: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def initrd(guest: Path, busybox: Path, linux: Path) -> bytes:
    """The archive, the same bytes for the same inputs."""
    return archive(_entries(guest, busybox, linux))


def _entries(guest: Path, busybox: Path, linux: Path) -> Iterator[Entry]:
    for folder in FOLDERS:
        yield Entry(folder, stat.S_IFDIR | 0o755)
    # The kernel opens it for PID 1 before anything is mounted.
    yield Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    binary = next(path for path in busybox.rglob("busybox") if path.is_file() and path.parent.name == "bin")
    yield Entry("bin/busybox", stat.S_IFREG | 0o755, binary.read_bytes())
    for applet in APPLETS:
        yield Entry(f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox")
    for script in sorted(path for path in guest.rglob("*") if path.is_file()):
        yield Entry(str(script.relative_to(guest)), stat.S_IFREG | 0o755, script.read_bytes())
    done: set[str] = set()
    for group, names in (("early", EARLY), ("seed", SEED), ("late", LATE)):
        wanted = {name: content for name, content in modules(linux, names).items() if name not in done}
        for name, content in wanted.items():
            yield Entry(f"lib/modules/{name}.ko", stat.S_IFREG | 0o644, content)
        order = "".join(f"{name}\n" for name in wanted)
        yield Entry(f"lib/modules/{group}", stat.S_IFREG | 0o644, order.encode("ascii"))
        done |= set(wanted)


def archive(entries: Iterator[Entry]) -> bytes:
    """A cpio archive of the format "newc" (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    parts = [_record(number, entry) for number, entry in enumerate(entries, start=1)]
    return b"".join([*parts, _record(0, Entry("TRAILER!!!", 0))])


def _record(inode: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    links, owner, group, modified, major, minor, check = 1, 0, 0, 0, 0, 0, 0
    fields = (
        *(inode, entry.mode, owner, group, links, modified, len(entry.content)),
        *(major, minor, *entry.device, len(name), check),
    )
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return _padded(head) + _padded(entry.content)


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 4)
