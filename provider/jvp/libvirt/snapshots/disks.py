"""The disks of a domain that a snapshot holds, and what keeps it from holding one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from jvp.core.errors import Rejected
from jvp.core.words import listed
from jvp.libvirt import disk_chain
from jvp.libvirt.disk_chain import Chain, Whose
from jvp.libvirt.domain import devices, disk_source
from jvp.libvirt.link import handles
from jvp.libvirt.link.xml import Element, value
from jvp.libvirt.node_view import SeenVolume, View
from jvp.libvirt.snapshots.record import MOST
from jvp.libvirt.storage import kinds, pool_kind, volume_record
from jvp.libvirt.storage.layer_names import ROOT, is_layer
from jvp.libvirt.storage.volumes import LAYER

_ROOT_ALIAS, _FORMATS = "ua-jvp-root", ("qcow2", "raw")
_PATH = ("instance",)


@dataclass(frozen=True)
class Active:
    """A disk that the guest writes to."""

    name: str
    target: str
    path: str
    format: str
    volume: SeenVolume


def name_of(disk: Element) -> str:
    """What the program calls a disk; of one that it did not make its target."""
    alias = devices.alias_of(disk) or ""
    if alias == _ROOT_ALIAS:
        return ROOT
    return devices.disk_name(disk) or _target(disk)


def written(root: Element) -> Iterator[Element]:
    """The disks in a definition that the guest can write to."""
    for disk in root.iterfind("devices/disk"):
        if disk.get("device", "disk") == "disk" and disk.find("readonly") is None:
            yield disk


def active(view: View, domain: handles.Domain, volumes: Collection[str] | None = None) -> list[Active]:
    """What a snapshot of the domain holds now, the root disk first; of its other disks these, or all.

    Raises Rejected for what it cannot hold, and for a name that none has; libvirtError.
    """
    what = f'instance "{domain.name()}"'
    chosen = sorted(written(devices.inactive_xml(domain)), key=lambda disk: name_of(disk) != ROOT)
    if volumes is not None:
        chosen = _chosen(what, chosen, volumes)
    found = [_checked(view, domain, disk) for disk in chosen]
    if not found:
        raise Rejected(f"{what} has no disk that it can write to, so there is nothing to hold", path=_PATH)
    if domain.isActive() and not is_as_found(domain, found, whole=volumes is None):
        raise Rejected(
            f"{what} has changes of its disks that wait for its next power cycle; restart it first", path=_PATH
        )
    return found


def _chosen(what: str, disks: list[Element], volumes: Collection[str]) -> list[Element]:
    names = [name_of(disk) for disk in disks]
    if unknown := sorted(set(volumes) - set(names)):
        others = [name for name in names if name != ROOT]
        has = f"it has {listed(others)}" if others else "it has none"
        raise Rejected(f"{what} has no disk {listed(unknown)} that it can write to; {has}", path=("volumes",))
    return [disk for disk, name in zip(disks, names, strict=True) if name == ROOT or name in volumes]


def is_as_found(domain: handles.Domain, found: Iterable[Active], *, whole: bool) -> bool:
    """Whether the guest writes to these files still; `whole` says that they are all. Raises libvirtError."""
    now, then = written_paths(domain), {one.target: one.path for one in found}
    return now == then if whole else all(now.get(target) == path for target, path in then.items())


def written_paths(domain: handles.Domain) -> dict[str, str | None]:
    """What the guest writes to now, or will at its next start, by target. Raises libvirtError."""
    root = devices.live_xml(domain) if domain.isActive() else devices.inactive_xml(domain)
    return {_target(disk): disk_source.path_of(disk) for disk in written(root)}


def refuse_foreign(domain: handles.Domain) -> None:
    """Raise Rejected for what `refuse_held` does, and while the domain has no definition but that of its guest."""
    refuse_held(domain)
    if not domain.isPersistent():
        raise Rejected(f'instance "{domain.name()}" was undefined while it runs; define it again first', path=_PATH)


def refuse_held(domain: handles.Domain) -> None:
    """Raise Rejected while another tool has snapshots of the domain, or its guest was saved to disk: both hold the
    files of its disks as they are, by name, and are lost with a change of these."""
    what = f'instance "{domain.name()}"'
    if names := [one.getName() for one in domain.listAllSnapshots(0)]:
        raise Rejected(
            f"{what} has snapshots of another tool, {listed(names)}, which ours would break; delete those with "
            f"`virsh snapshot-delete {domain.name()} NAME` first",
            path=_PATH,
        )
    if domain.hasManagedSaveImage(0):
        raise Rejected(
            f"{what} was saved to disk, and goes on from there with the files that its disks are now; start it, or "
            f"drop what was saved with `virsh managedsave-remove {domain.name()}`",
            path=_PATH,
        )


def uses(domain: handles.Domain, name: str) -> bool:
    """Whether a definition of the domain has a file of this name, or stands on it."""
    roots = [devices.inactive_xml(domain)] + ([devices.live_xml(domain)] if domain.isActive() else [])
    found = [disk for root in roots for disk in root.iterfind("devices/disk")]
    if any(kinds.name_of(disk_source.path_of(disk) or "") == name for disk in found):
        return True
    live = roots[1].iterfind("devices/disk//source") if len(roots) > 1 else ()
    return any(kinds.name_of(disk_source.path_in(source) or "") == name for source in live)


def writes(domain: handles.Domain, name: str) -> bool:
    """Whether a definition of the domain has the file of this name as a disk."""
    roots = [devices.inactive_xml(domain)] + ([devices.live_xml(domain)] if domain.isActive() else [])
    paths = (disk_source.path_of(disk) for root in roots for disk in written(root))
    return any(kinds.name_of(path) == name for path in paths if path)


def sync(view: View, root: Element) -> None:
    """Have the records of declared volumes name the layers that the guest of this inactive definition writes to.

    `view` is a fresh one. Raises libvirtError. Again: yes.
    """
    for disk in written(root):
        chain = Chain(view, disk)
        if chain.path is None:
            continue
        for layer in chain.layers:
            if layer.whose is Whose.VOLUME and (volume := layer.volume) is not None:
                _note(volume, layer_name(chain.path) if layer.path != chain.path else None)
                break


def layer_name(path: str) -> str | None:
    """The name of a layer of ours at a path; None for any other file."""
    name = path.rpartition("/")[2]
    return name if is_layer(name) else None


def _note(volume: SeenVolume, layer: str | None) -> None:
    record = volume_record.get(volume.pool, volume.name)
    if record is None or record.facts.get(LAYER) == layer:
        return
    facts = {name: fact for name, fact in record.facts.items() if name != LAYER}
    volume_record.put(volume.pool, volume.name, record.having(facts={**facts, LAYER: layer} if layer else facts))


def _checked(view: View, domain: handles.Domain, disk: Element) -> Active:
    chain, name = Chain(view, disk), name_of(disk)
    what, path = f'the disk "{name}" of "{domain.name()}"', chain.path
    volume = view.volume(path) if path is not None else None
    if path is None or volume is None:
        raise Rejected(f"{what} is in no active storage pool, so no snapshot can hold it", path=_PATH)
    if disk.find("shareable") is not None:
        raise Rejected(f"{what} is shared with other guests, so no snapshot can hold it", path=_PATH)
    pool_kind.require(volume.pool, "snapshot", _PATH)
    if volume.root.get("type") not in (None, disk_source.FILE) or chain.format not in _FORMATS:
        raise Rejected(f"{what} is no file of the format qcow2 or raw, and snapshots hold no others", path=_PATH)
    layers = chain.layers
    if any(layer.whose is Whose.OTHER and layer.path != layers[-1].path for layer in layers):
        raise Rejected(f"{what} {disk_chain.covered(chain, domain, None)}", path=_PATH)
    if len(layers) >= MOST:
        raise Rejected(f"{what} is made of {len(layers)} files, and {MOST} are the most; delete a snapshot", path=_PATH)
    others = {one.name for one in view.users.get(path, ()) if one.name != domain.name()}
    if others:
        raise Rejected(f"{what} is a disk of {listed(others)} too, so no snapshot can hold it", path=_PATH)
    return Active(name, _target(disk), path, chain.format, volume)


def _target(disk: Element) -> str:
    return value(disk, "target/@dev") or ""
