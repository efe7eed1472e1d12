"""The real engine: one stack, many volumes, images, the address of a guest, and what a refresh costs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import hcl, plugin
from bench.floor import Floor
from bench.table import Row, median, timed
from hosts.daemon import SystemHost
from hosts.engine import ROOT, Resources, Stack

RUNS = 3
FEW, MANY = 10, 100
MIB, GIB = 1 << 20, 1 << 30
GUEST = ROOT / "build/guest"
ENGINE_THERE = {"apply": 1.5, "preview": 1.0, "destroy": 0.7}
AIM_THERE = {"apply": 2.4, "preview": 1.2, "destroy": 2.0}
"""The aims were set beside an engine of that speed: what may be added to it moves with ours."""
OURS_S = 0.2
"""And what we may add where libvirt alone takes longer than the aim."""


class Bench:
    """Everything that the rows share."""

    def __init__(self, host: SystemHost, connection: Any, folder: Path) -> None:
        self.host, self.connection, self.folder = host, connection, folder
        self.floor = Floor(connection, host.pools / "floor")
        self._count = 0

    def stack(self) -> Stack:
        self._count += 1
        return Stack(self.folder / f"stack{self._count}", self.host.uri)

    def one_stack(self) -> Iterator[Row]:
        empty, stack = self.stack(), self.stack()
        spent: dict[str, list[float]] = {}

        def note(name: str, seconds: float) -> None:
            spent.setdefault(name, []).append(seconds)

        with plugin.watched() as peak:
            for _ in range(RUNS):
                for name, one, resources in (("engine", empty, {}), ("stack", stack, self.one())):
                    one.declare(resources)
                    note(f"{name} apply", one.up().expect().seconds)
                    note(f"{name} preview", one.preview().expect().seconds)
                    note(f"{name} destroy", one.destroy().expect().seconds)
        floors = self.floors()
        spent |= {f"floor {verb}": [seconds] for verb, seconds in floors.items()}
        found = {name: median(times) for name, times in spent.items()}
        for verb in ENGINE_THERE:
            engine, libvirt = found[f"engine {verb}"], found[f"floor {verb}"]
            # What was left for libvirt and us beside the engine of then.
            aim = max(AIM_THERE[verb] * engine / ENGINE_THERE[verb], engine + libvirt + OURS_S)
            parts = f"engine with an empty program {engine:.2f} s, libvirt alone {libvirt:.2f} s"
            yield Row(f"one stack, {verb}", found[f"stack {verb}"], "s", aim, engine + libvirt, parts)
        yield Row("plugin memory, peak", peak.mib, "MiB", 80)

    def floors(self) -> dict[str, float]:
        """One of everything by plain calls."""
        spent: dict[str, list[float]] = {}
        for _ in range(RUNS):
            for verb, call in (
                ("apply", self.floor.apply), ("preview", self.floor.plan), ("destroy", self.floor.destroy)
            ):  # fmt: skip
                spent.setdefault(verb, []).append(timed(call))
        return {verb: median(times) for verb, times in spent.items()}

    def hcl(self) -> Iterator[Row]:
        """The same through the door of Terraform and OpenTofu."""
        if (why := hcl.missing()) is not None:
            print(f"the rows of the other engine are left out: {why}")
            return
        yield from hcl.plugin_rows()
        yield from hcl.stack_rows(self.folder, self.host.uri, self.host.pools, self.floors())
        yield from hcl.volume_rows(self.folder, self.host.uri, self.host.pools, self.floor.volumes(MANY))
        yield from hcl.network_rows(self.folder, self.host.uri, self.floor.networks(MANY))

    def one(self) -> Resources:
        return {
            "net": ("Network", {"cidr": "192.168.94.0/24"}),
            "pool": ("StoragePool", {"path": str(self.host.pools / "one")}),
            "data": ("Volume", {"pool": "${pool.id}", "size": "16MiB"}),
            "vm": (
                "Instance",
                {
                    "memory": "64MiB",
                    "rootDisk": {"pool": "${pool.id}", "size": "16MiB"},
                    "nics": [{"name": "eth0", "network": "${net.id}"}],
                },
            ),
        }

    def volumes(self) -> Iterator[Row]:
        verbs = ("create", "refresh", "destroy")
        spent: dict[int, list[float]] = {}
        refreshing = 0.0
        for count in (FEW, MANY):
            stack = self.stack().declare(
                {
                    "pool": ("StoragePool", {"path": str(self.host.pools / "many")}),
                    **{
                        f"v{n}": ("Volume", {"pool": "${pool.id}", "size": "16MiB", "format": "raw"})
                        for n in range(count)
                    },
                }
            )
            create = stack.up().expect().seconds
            read = median(stack.preview().expect().seconds for _ in range(RUNS))
            if count == MANY:
                refreshing = read - self._without_refresh(stack)
            spent[count] = [create, read, stack.destroy().expect().seconds]
        floors = self.floor.volumes(MANY)
        for verb, floor, few, many, aim in zip(verbs, floors, spent[FEW], spent[MANY], (12, 8, 10), strict=True):
            slope = (many - few) / (MANY - FEW)
            note = f"{FEW}: {few:.2f} s, {MANY}: {many:.2f} s"
            yield Row(f"each further volume, {verb}", slope * 1000, "ms", aim, floor * 1000, "libvirt alone", note)
        note = f"a preview of {MANY} volumes with and without it differs by {refreshing:.2f} s"
        yield Row("refresh before update, each volume", refreshing / MANY * 1000, "ms", 8, floors[1] * 1000, note)

    def _without_refresh(self, stack: Stack) -> float:
        """A preview of the same state, in which no resource asks to be read first."""
        kept = stack("stack", "export").expect().text
        document = json.loads(kept)
        for resource in document["deployment"]["resources"]:
            resource.pop("refreshBeforeUpdate", None)
        plain, original = self.folder / "plain.json", self.folder / "kept.json"
        plain.write_text(json.dumps(document))
        original.write_text(kept)
        stack("stack", "import", "--file", str(plain)).expect()
        took = median(stack.preview().expect().seconds for _ in range(RUNS))
        stack("stack", "import", "--file", str(original)).expect()
        return took

    def images(self) -> Iterator[Row]:
        for size, data, aim in ((2 * GIB, 64 * MIB, 0.2), (300 * MIB, 200 * MIB, 0.5)):
            image = _image(self.folder / f"{size}.raw", size, data)
            name = f"{size // MIB} MiB image holding {data // MIB}"
            pool = {"pool": ("StoragePool", {"path": str(self.host.pools / "images")})}
            template = {"image": ("Template", {"pool": "${pool.id}", "source": {"path": str(image)}})}
            stack = self.stack()
            spent = []
            allocated = 0
            for _ in range(RUNS):
                bare = stack.declare(pool).up().expect().seconds
                bare = stack.up().expect().seconds
                spent.append(stack.declare({**pool, **template}).up().expect().seconds - bare)
                files = [
                    path for path in (self.host.pools / "images").iterdir() if path.name.startswith("jvp-template")
                ]
                allocated = sum(path.stat().st_blocks * 512 for path in files)
            stack.destroy().expect()
            floors = [self.floor.upload(self.host.uri, image) for _ in range(RUNS)]
            floor = median(took for took, _ in floors)
            yield Row(f"{name}, over the engine", median(spent), "s", aim, floor, "virsh vol-upload --sparse")
            limit = max(bytes_ for _, bytes_ in floors) // MIB + 1
            yield Row(f"{name}, allocated", allocated / MIB, "MiB", limit, floors[0][1] / MIB, "virsh vol-upload")
            image.unlink()

    def address(self) -> Iterator[Row]:
        if not (GUEST / "vmlinux").exists():
            print("the row about the address is left out: there is no guest in build/guest (make setup)")
            return
        kernel = {"kernel": str(GUEST / "vmlinux"), "initrd": str(GUEST / "initrd")}
        kernel["cmdline"] = "console=ttyS0 quiet mitigations=off"
        network = {"net": ("Network", {"cidr": "192.168.95.0/24", "name": "leases"})}
        nic = {"name": "eth0", "network": "${net.id}"}
        guest = {"memory": "128MiB", "directKernel": kernel, "nics": [nic], "waitFor": "ip"}
        stack = self.stack()
        late = []
        for _ in range(2):
            stack.declare(network).up().expect()
            stack.declare({**network, "vm": ("Instance", guest)})
            with self._first_lease() as seen:
                known = _when_created(stack)
            late.append(known - seen[0])
            stack.destroy().expect()
        yield Row("address known to the engine after the lease", median(late), "s", 0.2)

    @contextlib.contextmanager
    def _first_lease(self) -> Iterator[list[float]]:
        """When the first lease of the network appeared."""
        seen: list[float] = []
        over = threading.Event()

        def watch() -> None:
            while not seen and not over.wait(0.01):
                with contextlib.suppress(Exception):
                    if self.connection.networkLookupByName("leases").DHCPLeases():
                        seen.append(time.monotonic())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()


def _when_created(stack: Stack) -> float:
    """The moment at which the CLI says that the instance is there."""
    command = [str(ROOT / ".tools/bin/pulumi"), "--non-interactive", "up", "--yes", "--skip-preview", "--stack", "dev"]
    process = subprocess.Popen(
        command, cwd=stack.folder, env=stack.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    known, lines = 0.0, []
    with process.stdout:
        for line in process.stdout:
            lines.append(line)
            if "Instance vm created" in line:
                known = time.monotonic()
    assert process.wait(timeout=60) == 0, "".join(lines)
    return known


def _image(path: Path, size: int, data: int) -> Path:
    """A raw disk of `size` with `data` bytes in pieces of 1 MiB all over it, the rest holes."""
    with path.open("wb") as file:
        file.truncate(size)
        count = data // MIB
        for number in range(count):
            file.seek(number * (size // count) // 4096 * 4096)
            file.write(os.urandom(MIB))
        file.seek(510)
        file.write(b"\x55\xaa")
        file.flush()
        os.fsync(file.fileno())
    return path
