"""What is raced: each work is a cycle of commands of one contestant, which leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.engines import Engine
from bench.programs import MIB, Objects
from bench.sample import Failed, Sample

FEW, MANY, NETWORKS = 10, 100, 30
IMAGES = {"image": (2048, 64), "image300": (300, 200)}
"""MiB of an image, and of the data in it."""
RACED = ("stack", f"volumes{FEW}", f"volumes{MANY}", f"networks{NETWORKS}", "image", "lease")
MEASURED = (*RACED, "image300")
Note = Callable[[str, Sample], None]
"""Takes a verb and what it took."""


@dataclass(frozen=True)
class Host:
    """Where the objects go: one daemon with nothing else in it."""

    uri: str
    connection: Any
    pools: Path
    images: dict[str, Path]
    """By the names of their works."""
    boot: tuple[Path, Path] | None
    """Kernel and initrd of a guest that asks for an address; None where there is none."""
    restart: Callable[[], None]
    """Restart the daemon, under whoever works on it."""


def stack(racer: Engine, bare: Objects, host: Host, note: Note) -> None:
    """A network, a pool, a volume and a running guest; once it is on when it goes, once off."""
    objects = replace(bare, pool=True, volumes=1, guest=True)
    racer.declare(objects)
    for verb in ("up", "plan", "refresh", "down"):
        note(verb, racer.run(verb))
    note("up", racer.run("up"))
    host.connection.lookupByName(f"{bare.prefix}-vm").destroy()
    note("down, off before", racer.run("down"))


def many(bare: Objects, racer: Engine, note: Note) -> None:
    """As many objects of one kind as there are in `bare`."""
    racer.declare(bare)
    for verb in ("up", "plan", "refresh", "down"):
        note(verb, racer.run(verb))


def image(racer: Engine, bare: Objects, path: Path, note: Note) -> None:
    """A raw image with holes goes into a pool that is there. `allocated` is in MiB."""
    racer.declare(replace(bare, pool=True))
    racer.run("up")
    objects = replace(bare, pool=True, image=path)
    racer.declare(objects)
    note("up", racer.run("up"))
    files = [path.stat() for path in objects.folder.iterdir() if path.is_file()]
    largest = max(files, key=lambda status: status.st_size)
    note("allocated", Sample(largest.st_blocks * 512 / MIB))
    note("down", racer.run("down"))


def lease(racer: Engine, bare: Objects, host: Host, note: Note) -> None:
    """From the guest's first lease, as libvirt tells it, to the end of the command that waits for it."""
    if host.boot is None:
        raise Failed("there is no guest in build/guest: make setup")
    racer.declare(replace(bare, booted=host.boot))
    with _first_lease(host.connection, f"{bare.prefix}-net") as seen:
        sample = racer.run("up")
    if not seen:
        raise Failed("the command ended before there was a lease")
    note("to the end", Sample(sample.ended - seen[0]))
    host.connection.lookupByName(f"{bare.prefix}-vm").destroy()
    racer.run("down")


def run(work: str, racer: Engine, bare: Objects, host: Host, note: Note) -> None:
    """A work by its name. Raises Failed."""
    kind, count = split(work)
    if kind == "volumes":
        many(replace(bare, pool=True, volumes=count), racer, note)
    elif kind == "networks":
        many(replace(bare, networks=count), racer, note)
    elif kind == "image":
        image(racer, bare, host.images[work], note)
    else:
        {"stack": stack, "lease": lease}[kind](racer, bare, host, note)


def split(work: str) -> tuple[str, int]:
    """A work's kind and the number behind it, 0 without one. Raises ValueError where there is no such work."""
    kind = work.rstrip("0123456789")
    count = int(work[len(kind) :] or 0)
    counted = kind in ("volumes", "networks") and 0 < count < 250
    if not (counted or work in MEASURED):
        raise ValueError(f"no work {work}; there are stack, volumesN, networksN, lease, {', '.join(IMAGES)}")
    return kind, count


def label(work: str) -> str:
    """For people. What is no work has no other name."""
    kind, count = split(work) if work != "process" else (work, 0)
    if work in IMAGES:
        size, data = IMAGES[work]
        return f"{f'{size // 1024} GiB' if size % 1024 == 0 else f'{size} MiB'} image, {data} MiB of data"
    return f"{count} {kind}" if count else kind


def nothing(racer: Engine, note: Note) -> None:
    """The engine alone."""
    racer.declare(None)
    for verb in ("up", "plan", "refresh", "down"):
        note(verb, racer.run(verb))


def sweep(connection: Any, prefix: str) -> None:
    """Remove what a contestant left whose command failed."""
    import libvirt

    def those(found: list[Any]) -> list[Any]:
        return [one for one in found if one.name().startswith(f"{prefix}-")]

    for domain in those(connection.listAllDomains()):
        with contextlib.suppress(libvirt.libvirtError):
            domain.destroy()
        domain.undefine()
    for kind in (connection.listAllNetworks(), connection.listAllStoragePools()):
        for one in those(kind):
            if one.isActive():
                for volume in one.listAllVolumes() if hasattr(one, "listAllVolumes") else ():
                    volume.delete()
                one.destroy()
            one.undefine()


def make_image(path: Path, size_mib: int, data_mib: int) -> Path:
    """A raw disk with its data in pieces of 1 MiB all over it, the rest holes."""
    with path.open("wb") as file:
        file.truncate(size_mib * MIB)
        for number in range(data_mib):
            file.seek(number * (size_mib * MIB // data_mib) // 4096 * 4096)
            file.write(os.urandom(MIB))
        file.seek(510)
        file.write(b"\x55\xaa")
        file.flush()
        os.fsync(file.fileno())
    return path


@contextlib.contextmanager
def _first_lease(connection: Any, network: str) -> Iterator[list[float]]:
    """When the first lease of the network appeared."""
    seen: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not seen and not over.wait(0.01):
            with contextlib.suppress(Exception):
                if connection.networkLookupByName(network).DHCPLeases():
                    seen.append(time.monotonic())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
