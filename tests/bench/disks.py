"""What is done to whole disks, beside virsh and qemu-img doing the same: snapshots, clones, compacting, export."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu

from bench.table import Row, timed
from bench.works import MIB, Host, make_image
from jvp.core.identity import Key
from jvp.core.work import Work
from jvp.resources.provider import Provider
from jvp.resources.registry import calls

DATA_MIB = 1024
SIZE = f"{2 * DATA_MIB}MiB"
_ROOT = "/machine/peripheral/ua-jvp-root/virtio-backend"


class Bench:
    """One pool, and what is made in it through the core."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self.folder, self.calls = host, folder, calls(Provider(uri=host.uri, virt_type="qemu"))
        self.made: list[tuple[str, Any]] = []
        self.pool = self.make("StoragePool", {"name": "disks", "path": str(host.pools / "disks"), "deleteData": True})

    def make(self, token: str, raw: dict[str, Any]) -> Any:
        checked = self.calls.check(token, raw)
        assert not checked.failures, checked.failures
        stored = self.calls.create(token, Key("", token, raw["name"], raw["name"]), checked.inputs, Work()).stored
        self.made.append((token, stored))
        return stored

    def drop(self, stored: Any) -> None:
        token = next(token for token, one in self.made if one is stored)
        self.calls.delete(token, stored, Work())
        self.made = [one for one in self.made if one[1] is not stored]

    def act(self, token: str, stored: Any, **args: Any) -> Any:
        return self.calls.act(token, stored.id, args, Work())

    def close(self) -> None:
        for _, stored in reversed(list(self.made)):
            self.drop(stored)

    def virsh(self, *words: str) -> None:
        virsh = [str(shutil.which("virsh")), "-q", "-c", self.host.uri]
        subprocess.run([*virsh, *words], check=True, stdout=subprocess.DEVNULL, timeout=600)

    def qemu_img(self, *words: object) -> None:
        subprocess.run(["qemu-img", *map(str, words)], check=True, stdout=subprocess.DEVNULL, timeout=600)


def rows(host: Host, folder: Path) -> Iterator[Row]:
    """Each once: what counts is the ratio."""
    bench = Bench(host, folder)
    try:
        yield from _volumes(bench)
        yield from _snapshots(bench)
    finally:
        bench.close()


def _volumes(bench: Bench) -> Iterator[Row]:
    image, out = make_image(bench.folder / "disk.raw", 2 * DATA_MIB, DATA_MIB), bench.folder / "out"
    for format in ("raw", "qcow2"):
        packed = bench.folder / f"disk.{format}"
        if format == "qcow2":
            bench.qemu_img("convert", "-O", "qcow2", image, packed)
        raw = {"pool": bench.pool.id, "imagePath": str(packed), "format": format}
        volume = bench.make("Volume", {"name": f"disk-{format}", **raw})
        path = volume.state["path"]
        _zeroed(path, format)
        floor = timed(lambda: bench.qemu_img("convert", "-f", format, "-O", format, path, out))  # noqa: B023
        told: dict[str, Any] = {}
        took = timed(lambda: told.update(bench.act("compactVolume", volume)))  # noqa: B023
        yield Row(f"compact, {format}, 512 MiB of 1 GiB are zeros", took, "s", None, floor, "qemu-img convert",
                  f"{told['freedBytes'] // MIB} MiB given back")  # fmt: skip
        out.unlink()
        floor = timed(lambda: bench.virsh("vol-download", "--sparse", "--vol", path, str(out)))  # noqa: B023
        out.unlink()
        took = timed(lambda: bench.act("exportVolume", volume, path=str(out)))  # noqa: B023
        yield Row(f"export, {format} as it is, 512 MiB", took, "s", None, floor, "virsh vol-download --sparse")
        out.unlink()
        other = "qcow2" if format == "raw" else "raw"
        floor = timed(lambda: bench.qemu_img("convert", "-f", format, "-O", other, path, out))  # noqa: B023
        out.unlink()
        took = timed(lambda: bench.act("exportVolume", volume, path=str(out), format=other))  # noqa: B023
        yield Row(f"export, {format} as {other}, 512 MiB", took, "s", None, floor, "qemu-img convert")
        out.unlink()
        floor = timed(lambda: bench.virsh("vol-clone", "--vol", path, "by-hand"))  # noqa: B023
        bench.virsh("vol-delete", "by-hand", "--pool", "disks")
        clone = {"name": f"clone-{format}", "pool": bench.pool.id, "volume": volume.id, "format": format}
        took = timed(lambda: bench.make("Volume", clone))  # noqa: B023
        yield Row(f"clone, {format}, 512 MiB", took, "s", None, floor, "virsh vol-clone")
        bench.drop(bench.made[-1][1])
        bench.drop(volume)


def _zeroed(path: str, format: str) -> None:
    """Write zeros over the first half of the data, as a guest does that clears its free space."""
    half = DATA_MIB // 2
    subprocess.run(["qemu-io", "-f", format, "-c", f"write -q -P 0 0 {half}M", path], check=True, timeout=600)


def _snapshots(bench: Bench) -> Iterator[Row]:
    machine = {"memory": "64MiB", "rootDisk": {"pool": bench.pool.id, "size": SIZE}, "shutdownTimeout": "0s"}
    ours = bench.make("Instance", {"name": "ours", **machine})
    theirs = bench.make("Instance", {"name": "theirs", **machine})
    other = bench.host.connection.lookupByUUIDString(theirs.id)
    base, layer = theirs.state["rootDiskPath"], str(bench.host.pools / "disks" / "theirs-layer")
    spec = f"vda,snapshot=external,file={layer}"
    snap = ("snapshot-create-as", "theirs", "--disk-only", "--atomic", "--no-metadata", "--diskspec", spec)
    floor = timed(lambda: bench.virsh(*snap))
    took = timed(lambda: bench.make("Snapshot", {"name": "s1", "instance": ours.id}))
    taken = bench.made[-1][1]
    yield Row("snapshot of a running instance", took, "s", None, floor, "virsh snapshot-create-as --disk-only")
    for domain in (bench.host.connection.lookupByUUIDString(ours.id), other):
        _written(domain)
    commit = ("blockcommit", "theirs", "vda", "--active", "--pivot", "--wait")
    floor = timed(lambda: bench.virsh(*commit))
    took = timed(lambda: bench.drop(taken))
    yield Row("delete of a snapshot, 1 GiB written since", took, "s", None, floor, "virsh blockcommit --active --pivot")
    Path(layer).unlink()
    bench.make("Snapshot", {"name": "s2", "instance": ours.id})
    taken = bench.made[-1][1]
    bench.virsh(*snap)
    floor = timed(lambda: _back(bench, other, base, layer))
    took = timed(lambda: bench.act("rollbackSnapshot", taken))
    yield Row("rollback of a running instance", took, "s", None, floor, "virsh destroy, qemu-img create, virsh start")
    bench.drop(taken)
    bench.drop(theirs)
    Path(layer).unlink(missing_ok=True)
    bench.drop(ours)


def _written(domain: Any) -> None:
    """Have the guest's QEMU write to its disk, as the guest would."""
    for said in (f"write -P 7 0 {DATA_MIB}M", "flush"):
        flags = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        libvirt_qemu.qemuMonitorCommand(domain, f'qemu-io -d {_ROOT} "{said}"', flags)


def _back(bench: Bench, domain: Any, base: str, layer: str) -> None:
    """Drop what was written over the base, by hand."""
    bench.virsh("destroy", "theirs")
    Path(layer).unlink()
    bench.qemu_img("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", layer)
    assert domain.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF
    bench.virsh("start", "theirs")
