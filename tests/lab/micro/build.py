"""Builds the micro guest into one folder, once per state of its sources."""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.micro import agent, debian, disk, initrd, kernel

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]

# TCG pays dearly for mitigations; without udev the interfaces are called eth0, eth1, … anyway.
CMDLINE = "console=ttyS0 quiet mitigations=off"

FILES = ("vmlinux", "initrd", "micro.qcow2")


@dataclass(frozen=True)
class Guest:
    """Where the built guest lies.

    ``vmlinux`` and ``initrd`` are for a direct kernel boot with ``CMDLINE``; ``disk`` boots by itself with BIOS.
    """

    directory: Path
    kernel_version: str
    built: bool

    @property
    def vmlinux(self) -> Path:
        """The kernel as an ELF file: QEMU starts it by PVH, which leaves out decompression in the guest."""
        return self.directory / "vmlinux"

    @property
    def initrd(self) -> Path:
        """The whole user space, with the QEMU guest agent for domains that have its channel."""
        return self.directory / "initrd"

    @property
    def disk(self) -> Path:
        """A qcow2 image of 48 MiB with the same kernel and initrd."""
        return self.directory / "micro.qcow2"


def build(directory: Path | None = None) -> Guest:
    """Build the guest, or return the one that was built from the same sources."""
    folder = directory or Path(os.environ.get("JVP_GUEST_DIR") or ROOT / "build" / "guest")
    folder.mkdir(parents=True, exist_ok=True)
    key = _key()
    with _alone(folder):
        manifest = _read(folder)
        if manifest.get("key") == key and all((folder / name).exists() for name in FILES):
            return Guest(folder, str(manifest["kernel_version"]), built=False)
        (folder / "manifest.json").unlink(missing_ok=True)
        version = _build(folder)
        facts = {"key": key, "kernel_version": version, "cmdline": CMDLINE, "files": _facts(folder)}
        (folder / "manifest.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return Guest(folder, version, built=True)


def _build(folder: Path) -> str:
    cache = folder / "packages"
    with tempfile.TemporaryDirectory(dir=folder, prefix="work-") as made:
        work = Path(made)
        linux = debian.unpack(debian.kernel_package(), cache, work / "linux")
        busybox = debian.unpack("busybox-static", cache, work / "busybox")
        bzimage, version = kernel.find(linux)
        (work / "vmlinux").write_bytes(kernel.vmlinux(bzimage.read_bytes()))
        base = initrd.initrd(HERE / "guest", busybox, linux)
        (work / "initrd").write_bytes(base + agent.agent(cache, work / "agent"))
        disk.build(work / "micro.qcow2", bzimage, work / "initrd", CMDLINE)
        for name in FILES:
            # A guest that runs from the old file keeps it.
            (work / name).replace(folder / name)
            (folder / name).chmod(0o644)
    return version


def _key() -> str:
    """A hash of everything in this folder: what the guest is made from, but for the packages' versions."""
    total = hashlib.sha256()
    for path in sorted(HERE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            total.update(f"{path.relative_to(HERE)}\0{sha256(path)}\0".encode())
    return total.hexdigest()


def _facts(folder: Path) -> dict[str, dict[str, str | int]]:
    return {name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in FILES}


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(folder: Path) -> dict[str, object]:
    try:
        found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two test runs that start at once build once."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
