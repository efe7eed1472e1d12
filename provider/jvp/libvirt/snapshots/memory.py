"""The memory of a running guest, kept beside the layers of a snapshot, and brought back.

libvirt writes it into one file by the call that makes the layers active, halts the guest meanwhile, and has it go on,
also when we die. It restores no other machine than the one of then: the file has its definition, in which only what
its disks are made of may change. What the program has changed since, the guest is given afterwards.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import libvirt

from jvp.core.abandon import outside
from jvp.core.errors import Busy, NoSpace, Rejected
from jvp.core.words import listed
from jvp.core.work import Progress, Work
from jvp.libvirt.domain import devices, disk_source, guest
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, is_gone
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, drop, parse, put, text_of, value
from jvp.libvirt.snapshots.record import Snap
from jvp.libvirt.storage import layer_names, lookup, pool_kind

_PATH = ("memory",)
_LOOK_S = 0.2
_OTHER_S = 3600.0
_SNAPSHOT = 6
"""VIR_DOMAIN_JOB_OPERATION_SNAPSHOT, which libvirt-python does not have."""
_UNSAVED = {
    "devices/hostdev": "a device of the node",
    "devices/interface[@type='hostdev']": "a card of the node",
    "devices/filesystem/driver[@type='virtiofs']": "a folder of the node (virtiofs)",
    "cpu[@migratable='off']": "a CPU that is not migratable",
    "cpu/feature[@name='invtsc'][@policy='require']": "a CPU that is not migratable (invtsc)",
}
"""What QEMU saves the state of no guest with: where it is in a definition."""


def refuse(domain: handles.Domain, pool: handles.StoragePool) -> None:
    """Raise Rejected where the memory of the guest cannot be kept, NoSpace without room for it; libvirtError."""
    what = f'of instance "{domain.name()}"'
    if not domain.isActive():
        raise Rejected(f"{what}: it is off, and there is none to keep", path=_PATH)
    root = devices.live_xml(domain)
    if found := [words for place, words in _UNSAVED.items() if root.find(place) is not None]:
        raise Rejected(f"{what} cannot be saved: it has {listed(found)}", path=_PATH)
    needed, left = int(domain.info()[2]) << 10, lookup.free_bytes(pool)
    if left < needed:
        raise NoSpace(
            f'{what} may take {needed >> 20} MiB, and the storage pool "{pool.name()}" has {left >> 20} MiB left',
            path=_PATH,
        )


def name_of(snap: Snap) -> str:
    return layer_names.memory(snap.instance, snap.serial)


def path_of(snap: Snap) -> str:
    """Where the memory of a snapshot is, or is to be. Raises libvirtError."""
    return pool_kind.layout_of(snap.pool).path(name_of(snap))


def size_of(snap: Snap) -> int | None:
    """How long the file is; None where it is gone. Raises libvirtError."""
    found = _info(snap)
    return int(found[1]) if found is not None else None


def allocation_of(snap: Snap) -> int:
    """What the file takes of its pool. Raises libvirtError."""
    found = _info(snap)
    return int(found[2]) if found is not None else 0


def _info(snap: Snap) -> list[int] | None:
    found = lookup.find_volume(snap.pool, name_of(snap))
    try:
        return found.info() if found is not None else None
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.VOLUME):
            return None
        raise


def keep(work: Work, node: Node, domain: handles.Domain, text: str, flags: int) -> None:
    """Take a snapshot with memory. Raises Cancelled, Busy at the deadline, libvirtError. Again: no."""

    def save(connection: handles.Connection) -> None:
        connection.lookupByUUIDString(domain.UUIDString()).snapshotCreateXML(text, flags)

    _long(work, node, save, lambda: is_saving(domain, work), domain.abortJob)


def await_other(work: Work, domain: handles.Domain) -> None:
    """Wait until libvirt has ended a snapshot of the guest that another run began, which may have died since.

    Raises Busy, Cancelled, libvirtError.
    """
    name = domain.name()
    work.until(
        lambda: not is_saving(domain, work), limit_s=_OTHER_S, every_s=_LOOK_S,
        what=f'another snapshot of "{name}" is being taken; run again when that is done',
    )  # fmt: skip


def obstacles(node: Node, domain: handles.Domain, root: Element, snap: Snap) -> Iterator[str]:
    """Why the memory of a snapshot cannot come back into the machine of this definition. Raises libvirtError."""
    what = f'the memory that snapshot "{snap.name}" holds cannot come back:'
    if size_of(snap) != snap.memory:
        yield f"{what} its file {path_of(snap)} is gone, or is not what was written"
        return
    saved = _saved_xml(node, snap)
    if (name := value(saved, "name")) != domain.name():
        yield f'{what} the instance was called "{name}" then, and has to be called so again'
    known = {_key(disk) for disk in root.iterfind("devices/disk")}
    fixed = [disk for disk in saved.iterfind("devices/disk") if _is_fixed(disk)]
    if gone := [_shown(disk) for disk in fixed if _key(disk) not in known]:
        yield f"{what} the guest had the disks {listed(sorted(gone))}, which are not attached any more"
    networks = {value(card, "source/@network") for card in saved.iterfind("devices/interface")} - {None}
    running = {one.name() for one in node.connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)}
    if missing := sorted(str(one) for one in networks - running):
        yield f"{what} the guest had cards on the networks {listed(missing)}, which are gone or stopped"


def await_start(work: Work, domain: handles.Domain) -> bool:
    """Whether the guest runs, when nobody is starting it any more. Raises Busy, Cancelled, libvirtError."""
    while (runs := guest.is_active(domain)) and guest.is_starting(domain):
        work.go_on(f'"{domain.name()}" is being started still; run again')
        work.wait(_LOOK_S)
    return runs


def restore(work: Work, node: Node, domain: handles.Domain, snap: Snap) -> bool:
    """Have a guest that is off go on from the memory, on what its inactive definition says of its disks.

    False where it was cut off again at the last moment, when it had begun to run. Raises Cancelled, Busy, libvirtError.
    Again: no, once it has run.
    """
    text, path = text_of(_patched(_saved_xml(node, snap), devices.inactive_xml(domain))), path_of(snap)

    def begin(connection: handles.Connection) -> None:
        connection.restoreFlags(path, text, 0)

    return _long(work, node, begin, lambda: work.status("bringing the guest's memory back"), domain.destroy)


def _long(
    work: Work,
    node: Node,
    call: Callable[[handles.Connection], None],
    look: Callable[[], object],
    stop: Callable[[], object],
) -> bool:
    """A call that takes long, on a connection and in a thread of its own. `look` is called meanwhile; at a Cancel and
    at the deadline `stop` is, until the call has come back. False where both `stop` and the call did what they do."""
    errors, stopped = list[BaseException](), False
    with node.job(work) as connection:

        def run() -> None:
            try:
                call(connection)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run, name="jvp-memory", daemon=True)
        thread.start()
        while thread.is_alive():
            with contextlib.suppress(libvirt.libvirtError):
                if _is_over(work):
                    stop()
                    stopped = True
                else:
                    look()
            with outside("libvirt's work on the guest's memory"):
                thread.join(_LOOK_S)
    if errors and _is_over(work) and isinstance(errors[0], libvirt.libvirtError):
        raise too_long(work) from None
    if errors:
        raise errors[0]
    return not stopped


def too_long(work: Work) -> Busy:
    """The error of a call that was stopped at its deadline. Raises Cancelled for one that was at a Cancel."""
    work.check()
    return Busy("the guest's memory took longer than the call may; allow more")


def _is_over(work: Work) -> bool:
    return work.cancelled.is_set() or work.left() <= 0


def is_saving(domain: handles.Domain, work: Work | None = None) -> bool:
    """Whether libvirt takes a snapshot of the guest at this moment; `work` shows how far it is. Raises libvirtError."""
    if not guest.is_active(domain):
        return False
    job = domain.jobStats(0)
    if job.get("operation") != _SNAPSHOT or not job.get("type"):
        return False
    if work is None:
        return True
    done, total = job.get("memory_processed", 0), job.get("memory_total", 0)
    percent = f", {100 * min(done, total) // total}%" if total else ""
    work.transferred(Progress("saving memory", done, total or None, f"saving the guest's memory{percent}"))
    return True


def _saved_xml(node: Node, snap: Snap) -> Element:
    return parse(node.connection.saveImageGetXMLDesc(path_of(snap), libvirt.VIR_DOMAIN_XML_SECURE))


def _key(disk: Element) -> str:
    """What a disk is told by, then and now."""
    alias = devices.alias_of(disk) or ""  # a running guest's devices all have one
    return alias if alias.startswith("ua-") else value(disk, "target/@dev") or ""


def _is_fixed(disk: Element) -> bool:
    """Whether it is no drive, of which the medium can be taken out."""
    return disk.get("device", "disk") == "disk"


def _shown(disk: Element) -> str:
    return _key(disk).removeprefix(devices.DISK_ALIAS)


def _patched(saved: Element, now: Element) -> Element:
    """The machine as it was saved, with the files that its disks are now, and what is noted of it now."""
    current = {_key(disk): disk for disk in now.iterfind("devices/disk")}
    for disk in saved.iterfind("devices/disk"):
        like = current.get(_key(disk))
        path = disk_source.path_of(like) if like is not None else None
        if like is not None and path is not None and disk_source.path_of(disk) != path:
            disk_source.point(disk, path, like.get("type") or disk_source.FILE)
            put(disk, "driver/@type", value(like, "driver/@type"))
        elif path is None and not _is_fixed(disk):
            drop(disk, "source")  # a CD that was taken out since, with its drive or without
        for store in disk.findall("backingStore"):
            disk.remove(store)
    old, new = saved.find("metadata"), now.find("metadata")
    if old is not None and new is not None:
        saved.replace(old, new)
    return saved
