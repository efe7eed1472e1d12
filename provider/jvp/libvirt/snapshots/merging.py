"""The end of a snapshot: what was written since is merged into what it froze, and the layer between goes.

What it froze is F, the layer over it L, and what stands on that X, another layer or nothing:

    F <- L        F takes what is in L, and the guest goes on with F, where L is what it writes to
    F <- L <- X   F takes what is in L, and X stands on F

Which L it is the record says before anything is written to F. F and L may be cut off at any point: as long as
something stands on L it reads the same, and to merge L once more changes nothing. Where several layers stand on F, or
on L, nothing is written: the record stays, marked, until others have gone.

A running guest merges by its own QEMU. Else a temporary domain with this disk alone does, which runs nothing, and is
gone with our connection.
"""

from __future__ import annotations

import contextlib
import uuid as uuids
from collections.abc import Iterable, Iterator

import libvirt

from jvp.core.errors import Busy, Cancelled, Rejected
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt import disk_chain
from jvp.libvirt.domain import devices, disk_source, temporary
from jvp.libvirt.link import events, handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import text_of, value
from jvp.libvirt.node_view import View
from jvp.libvirt.snapshots import disks, making, memory, record, settling
from jvp.libvirt.snapshots.record import Held, Snap
from jvp.libvirt.storage import kinds, layer_names, lookup

_JOB_S = 24 * 3600.0
_ACTIVE = libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE
_PIVOT = libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT


def delete(work: Work, node: Node, domain: handles.Domain, snap: Snap) -> bool:
    """Take a snapshot away, and give back what it held. False where that waits until other snapshots have gone.

    Raises Rejected where others stand on what it froze; Busy, Cancelled, libvirtError. Again: yes.
    """
    disks.refuse_held(domain)
    _learn_held(work, node, snap)
    end_others(work, node, domain, snap.instance, snap.name)
    snap = record.read(snap.pool, snap.instance, snap.name) or snap
    if not snap.merging:
        plan = _planned(node, domain, snap)
        rows = [list(row) for row in plan or ()]
        snap = snap.put(snap.record.having(phase="deleting", facts={**snap.record.facts, "merging": rows}))
        if plan is None:
            making.remove_kept(node, snap)
            return False
    carry_out(work, node, domain, snap)
    _end_waiting(work, node, domain, snap.instance)
    return True


def end_others(work: Work, node: Node, domain: handles.Domain, uuid: str, name: str) -> None:
    """End what was cut off with other snapshots than this one, a deletion, and with any of them, a way back.

    Whoever changes which files a disk is does it first: what is to be merged by then is told by how they stand. Raises
    Rejected, Busy, Cancelled, libvirtError.
    """
    for other in record.of(node, uuid):
        if other.name != name and other.record.phase == "filling":
            memory.await_other(work, domain)
        settling.settle(node, domain, other)
        if other.name != name and other.merging:
            disks.refuse_held(domain)
            go_on(work, node, domain, other)


def _end_waiting(work: Work, node: Node, domain: handles.Domain, uuid: str) -> None:
    """Carry out the deletions that waited for another one."""
    while True:
        waiting = [one for one in record.of(node, uuid) if one.merging == ()]
        ready = next(((one, plan) for one in waiting if (plan := _planned(node, domain, one)) is not None), None)
        if ready is None:
            return
        one, plan = ready
        facts = {**one.record.facts, "merging": [list(row) for row in plan]}
        carry_out(work, node, domain, one.put(one.record.having(facts=facts)))


def _planned(node: Node, domain: handles.Domain, snap: Snap) -> record.Merging | None:
    """What is to be merged; None while more than one layer stands on what the snapshot froze, or on the next.

    Raises Rejected where something of others stands there, libvirtError.
    """
    view, plan = View(node), []
    for place, held in enumerate(snap.disks):
        frozen = record.path_of(node, held.pool, held.file)
        _refuse_unseen(view, held, frozen)
        over = _standing(view, domain, snap, frozen)
        if over and disks.writes(domain, held.file):
            raise Rejected(
                f'"{domain.name()}" writes to {frozen}, which snapshot "{snap.name}" holds, and {over[0]} stands on; '
                "point its disk back to that, or delete it by hand"
            )
        above = _standing(view, domain, snap, over[0]) if over else []
        if len(over) > 1 or len(above) > 1:
            return None
        layer, next_one = (kinds.name_of(one[0]) if one else "" for one in (over, above))
        plan.append((place, layer, next_one))
    return tuple(plan)


def _refuse_unseen(view: View, held: Held, path: str) -> None:
    """Raise Rejected where it cannot be told what stands on a file: its pool does not run. Raises libvirtError."""
    if view.volume(path) is None and lookup.pool_at(view.node, kinds.folder_of(path)) is None:
        raise Rejected(
            f'the storage pool of its disk "{held.name}", over {kinds.folder_of(path)}, is not active; start it'
        )


def _standing(view: View, domain: handles.Domain, snap: Snap, path: str) -> list[str]:
    """The layers of this instance on a file. Raises Rejected for other files there, libvirtError."""
    found = disk_chain.in_the_way(view, path)
    others = [name for file, name in found.items() if layer_names.owner(kinds.name_of(file)) != snap.instance]
    if others:
        raise Rejected(
            f'snapshot "{snap.name}" of "{domain.name()}" is the base of {listed(others)}; delete those first'
        )
    return sorted(found)


def go_on(work: Work, node: Node, domain: handles.Domain, snap: Snap) -> None:
    """End a deletion that was cut off, perhaps before the pools saw what it had merged. See `carry_out`."""
    _learn_held(work, node, snap)
    carry_out(work, node, domain, snap)


def carry_out(work: Work, node: Node, domain: handles.Domain, snap: Snap) -> None:
    """End a deletion whose record says what is merged. Raises Rejected, Busy, Cancelled, libvirtError. Again: yes."""
    for place, layer, above in snap.merging or ():
        held = snap.disks[place]
        if layer:
            _merge(work, node, domain, snap, held, layer, above)
        elif layer_names.is_layer(held.file):
            view, frozen = View(node), record.path_of(node, held.pool, held.file)
            _refuse_unseen(view, held, frozen)
            if not _standing(view, domain, snap, frozen) and not disks.uses(domain, held.file):
                making.remove_file(node, held.pool, held.file)
    making.forget_chains(node, domain)
    making.remove_kept(node, snap)
    disks.sync(View(node), devices.inactive_xml(domain))
    snap.drop()


def _merge(work: Work, node: Node, domain: handles.Domain, snap: Snap, held: Held, layer: str, above: str) -> None:
    """One disk: F takes what is in L, everything goes on with F, and L goes. Again: yes."""
    view = View(node)
    into, top = record.path_of(node, held.pool, held.file), record.path_of(node, held.pool, layer)
    others = [one for one in record.of(node, snap.instance) if one.name != snap.name]
    over = list(disk_chain.children(view, top, fresh=True))
    # Where X stands on F, or the guest writes to F, it was merged. What L has is old then.
    done = not over and not disks.uses(domain, layer) and (bool(above) or disks.writes(domain, held.file))
    if view.volume(top) is not None and not done:
        if len(over) > 1:
            raise Rejected(f"{listed(over)} stand on {top}, so that is not merged; delete all but one of them")
        merge_chain(work, node, domain, into, held.format, top, over[0] if over else None)
        if disk_chain.children(View(node), top, fresh=True) or disks.uses(domain, layer):
            raise Rejected(f'"{domain.name()}" still stands on {top}, so that is not merged; run again')
    for one in others:
        one.moved(layer, held.file, held.format)
    making.remove_file(node, held.pool, layer)


def merge_chain(
    work: Work, node: Node, domain: handles.Domain, into: str, format: str, top: str, over: str | None
) -> None:
    """Have the file `into` take all that lies above it up to `top`; `over` stands on that, and on `into` then.

    Where the domain writes to `top`, it writes to `into` then. Raises Rejected, Busy, Cancelled, libvirtError.
    Again: yes, whatever came of it.
    """
    while True:
        target = _target_with(domain, top) if domain.isActive() else None
        if target is not None:
            _commit(work, domain, target, into, top if over is not None else None)
        else:
            with _temporary(work, node, domain, over or top, layer_names.FORMAT) as made:
                _commit(work, made, temporary.TARGET, into, top if over is not None else None)
        learn(work, node, (into, *([over] if over is not None else ())))
        if not _repoint(node, domain, top, into, format):
            return


def _commit(work: Work, domain: handles.Domain, target: str, base: str, top: str | None) -> None:
    """Merge down to `base`, from `top` or from what the domain writes to (None), which then is `base`."""
    with events.watch(domain.connect(), domain, "block job") as seen:
        if job := domain.blockJobInfo(target, 0):
            _refuse_other_job(domain, target, job, base if top is None else None)
        else:
            domain.blockCommit(target, base, top, 0, 0 if top is not None else _ACTIVE)
        try:
            _await(work, domain, target, seen, _JOB_S)
        except (Cancelled, Busy):
            with contextlib.suppress(libvirt.libvirtError):
                domain.blockJobAbort(target, 0)
            raise
    if top is None and _source(domain, target) != base:
        raise Rejected(f'the disk "{target}" of "{domain.name()}" could not be merged into {base}')


def _refuse_other_job(domain: handles.Domain, target: str, job: dict[str, int], base: str | None) -> None:
    """Raise Busy where the job that a disk has is none that we left there: to go on with `base`, or below the top."""
    kind, into = job.get("type"), None
    for disk in devices.live_xml(domain).iterfind("devices/disk"):
        if value(disk, "target/@dev") == target and (mirror := disk.find("mirror/source")) is not None:
            into = disk_source.path_in(mirror)
    ours = libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT if base is None else libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT
    if kind != ours or into != base:
        raise Busy(f'another job works on the disk "{target}" of "{domain.name()}"; run again when that is done')


def _await(work: Work, domain: handles.Domain, target: str, seen: events.Watch, limit: float) -> None:
    """Wait for a job, and have the guest go on with the base where it stands ready for that."""
    while info := domain.blockJobInfo(target, 0):
        active = info.get("type") == libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT
        done, end = info.get("cur", 0), info.get("end", 0)
        if active and end and done == end:
            try:
                domain.blockJobAbort(target, _PIVOT)
                continue
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_BLOCK_COPY_ACTIVE:
                    raise
        work.status(f"merging what was written since, {100 * done // end if end else 0} %")
        work.go_on("what was written since the snapshot is not merged yet; run again to go on")
        seen.next(work, 0.5)


@contextlib.contextmanager
def _temporary(work: Work, node: Node, domain: handles.Domain, path: str, format: str) -> Iterator[handles.Domain]:
    """A domain that has this disk alone, in place of the guest."""
    uuid = str(uuids.uuid5(uuids.UUID(domain.UUIDString()), "merge"))
    name, like = f"jvp-merge-{domain.UUIDString()}", devices.inactive_xml(domain)
    text = temporary.definition(name, uuid, path, format, like=like)
    another = f'the disks of "{domain.name()}" are being merged by another run'
    with temporary.paused(work, node, text, uuid, another=another) as made:
        yield made


def _target_with(domain: handles.Domain, path: str) -> str | None:
    """The disk of a running domain that is made of this file; None where none is."""
    for disk in devices.live_xml(domain).iterfind("devices/disk"):
        if any(disk_source.path_in(source) == path for source in disk.iter("source")):
            return value(disk, "target/@dev")
    return None


def _source(domain: handles.Domain, target: str) -> str | None:
    for disk in devices.live_xml(domain).iterfind("devices/disk"):
        if value(disk, "target/@dev") == target:
            return disk_source.path_of(disk)
    return None


def _repoint(node: Node, domain: handles.Domain, top: str, into: str, format: str) -> bool:
    """Have the inactive definition name `into` where it names `top`. True where the guest was started meanwhile and
    writes to `top`: then all of it goes on from there."""
    root, stale = devices.inactive_xml(domain), False
    for disk in root.iterfind("devices/disk"):
        if disk_source.path_of(disk) == top:
            making.point(disk, into, format)
            stale = True
    if not stale:
        return False
    before = text_of(devices.inactive_xml(domain))
    node.connection.defineXML(text_of(root))
    if domain.isActive() and _target_with(domain, top) is not None:
        node.connection.defineXML(before)
        return True
    return False


def _learn_held(work: Work, node: Node, snap: Snap) -> None:
    learn(work, node, [record.path_of(node, held.pool, held.file) for held in snap.disks])


def learn(work: Work, node: Node, paths: Iterable[str]) -> None:
    """Look anew at what these files stand on: a pool reads that only when it looks at its folder.

    Raises Busy, libvirtError.
    """
    view = View(node)
    found = [volume for path in paths if (volume := view.listed(path)) is not None]
    for pool in {volume.pool.UUIDString(): volume.pool for volume in found}.values():
        lookup.refresh(work, pool)
    for path in paths:
        if (now := View(node).volume(path)) is not None:
            lookup.remember_base(now.pool, now.name, now.root)
