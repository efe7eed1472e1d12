"""All that a node holds, to be compared before and after."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import libvirt

from jvp.libvirt.link import events
from jvp.libvirt.link.xml import parse, text_of

_CHANGING = ("allocation", "available", "timestamps", "physical", "owner", "group", "label")
"""libvirt gives what a guest stands on to QEMU's user, and does not take back what others may stand on too."""

BUSY_S = 30.0


def inventory(uri: str, *folders: Path) -> dict[str, str]:
    """The definition of every object on the node, and every file below the folders with its mode and size."""
    events.start_loop()
    with closing(libvirt.open(uri)) as connection:
        found = dict(_objects(connection))
    for folder in folders:
        for path in folder.rglob("*"):
            with suppress(FileNotFoundError):  # libvirtd writes a file beside the one that it then replaces
                status = path.lstat()
                size = status.st_size if path.is_file() else 0
                found[f"file {path}"] = f"{status.st_mode:o} {size}"
    return found


def difference(before: dict[str, str], after: dict[str, str]) -> str:
    """What is new, gone or otherwise, in lines; empty when nothing is."""
    lines = [f"new: {name}" for name in sorted(after.keys() - before.keys())]
    lines += [f"gone: {name}" for name in sorted(before.keys() - after.keys())]
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            lines.append(f"changed: {name}\n  from {before[name]}\n  to   {after[name]}")
    return "\n".join(lines)


def remove(uri: str, names: Iterable[str]) -> None:
    """Take away the objects and files of these names as `inventory` gives them, as far as that goes."""
    with closing(libvirt.open(uri)) as connection:
        for text in sorted(names, reverse=True):
            kind, _, name = text.partition(" ")
            with suppress(libvirt.libvirtError, OSError):
                if kind == "file":
                    path = Path(name)
                    path.rmdir() if path.is_dir() else path.unlink()
                elif kind == "volume":
                    pool, _, volume = name.partition("/")
                    connection.storagePoolLookupByName(pool).storageVolLookupByName(volume).delete()
                else:
                    _end(connection, kind, name)


def _end(connection: Any, kind: str, name: str) -> None:
    lookups = {
        "domain": connection.lookupByName,
        "network": connection.networkLookupByName,
        "pool": connection.storagePoolLookupByName,
    }
    found = lookups[kind](name)
    if found.isActive():
        found.destroy()
    if found.isPersistent():
        found.undefine()


def _objects(connection: Any) -> Iterator[tuple[str, str]]:
    for domain in connection.listAllDomains(0):
        state = f"{domain.state()[0]} {domain.autostart() if domain.isPersistent() else ''}"
        yield f"domain {domain.name()}", f"{state} {domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)}"
    networks = connection.listAllNetworks(0) if not connection.getURI().endswith("/session") else ()
    for network in networks:
        state = f"{network.isActive()} {network.autostart()}"
        yield f"network {network.name()}", f"{state} {network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE)}"
    for pool in connection.listAllStoragePools(0):
        state = f"{pool.isActive()} {pool.autostart()}"
        yield f"pool {pool.name()}", f"{state} {_steady(pool.XMLDesc(libvirt.VIR_STORAGE_XML_INACTIVE))}"
        if pool.isActive():
            _refresh(pool)
            for volume in pool.listAllVolumes(0):
                yield f"volume {pool.name()}/{volume.name()}", _steady(volume.XMLDesc(0))


def _refresh(pool: Any) -> None:
    """Look at the pool's files again, once a job that a killed process began has ended."""
    end = time.monotonic() + BUSY_S
    while True:
        try:
            pool.refresh(0)
            return
        except libvirt.libvirtError as error:
            if "asynchronous jobs running" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(0.1)


def _steady(text: str) -> str:
    """The XML without what moves by itself."""
    root = parse(text)
    for tag in _CHANGING:
        for element in list(root.iter(tag)):
            holder = element.getparent()
            if holder is not None:
                holder.remove(element)
    return text_of(root)
