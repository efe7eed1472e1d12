"""Templates as they lie in a pool: one volume per generation, and one record that says which is in use.

A template `debian` whose image has the digest 0123456789ab… is the volume `jvp-template-debian-0123456789ab`. Its
record is the sidecar of `template@debian` (no volume's name holds an @): the generation in use, the one that is
being filled, and those that were superseded and wait for their last user to go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import libvirt

from jvp.core.errors import Invalid, NotFound, Path, Rejected
from jvp.core.types import shortened
from jvp.core.words import listed
from jvp.core.work import Work, current
from jvp.libvirt.domain.disks import DomainDisk, disk_users
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import number, volume_xml
from jvp.libvirt.storage import lookup, volume_record
from jvp.libvirt.storage.template_names import DIGEST_LENGTH as DIGEST_LENGTH
from jvp.libvirt.storage.template_names import parsed_name as parsed_name
from jvp.libvirt.storage.template_names import volume_name as volume_name
from jvp.libvirt.storage.volume_record import Sidecar

_RECORD = "template@"
_ORIGINS = ("url", "path", "upload", "snapshot", "volume")
_ROOT = re.compile(r"/jvp-(?P<uuid>[0-9a-f-]{36})-root\"$")
"""How the words of `users_of` end for the root disk of an instance."""


@dataclass(frozen=True)
class TemplateVolume:
    """A template's generation in use, to make volumes from."""

    pool: handles.StoragePool
    name: str
    volume: handles.StorageVol
    volume_name: str
    path: str
    format: str
    capacity: int
    """What a guest sees, in bytes."""
    length: int
    """Of the file, in bytes; 0 when nothing says it."""

    @property
    def id(self) -> str:
        return f"{self.pool.UUIDString()}/{self.name}"


@dataclass(frozen=True)
class Record:
    """What the sidecar of a template keeps beside its mark. Generations are named by the digest's 12 digits."""

    birth: str
    """Drawn when the template was made: tells it from a later one of the same name."""
    current: str = ""
    next: str = ""
    superseded: tuple[str, ...] = ()
    """Whole, and waiting for their last user to go."""
    going: tuple[str, ...] = ()
    """About to be removed: nobody may stand on them any more."""
    digest: str = ""
    """The content digest of the current one."""
    size: int = 0
    source: dict[str, Any] = field(default_factory=dict)
    """Where the image came from, to be shown; without passwords."""
    source_key: str = ""
    """A digest of where it came from, to be compared."""
    source_name: str = ""
    """Of a snapshot or volume that it is a copy of, as people call that; `source` has its id."""
    length: int = 0
    """Of the current one's file, in bytes; 0 where an older version made it."""
    created: str = ""
    os: str = ""
    """What is in it, as the program calls it."""
    release: str = ""
    """What the image said of itself when it was put there, like `debian-12`; empty, as the two below, if nothing."""
    os_name: str = ""
    architecture: str = ""

    @classmethod
    def of(cls, found: Sidecar) -> Record:
        known = {one.name: found.facts[one.name] for one in fields(cls) if one.name in found.facts}
        lists = {name: tuple(known.get(name) or ()) for name in ("superseded", "going")}
        return cls(**{"birth": "", **known, **lists})

    def facts(self) -> dict[str, Any]:
        return {**self.__dict__, "superseded": list(self.superseded), "going": list(self.going)}

    @property
    def system(self) -> str:
        """What is in it: what the program says goes before what the image does."""
        return self.os or self.release

    @property
    def type(self) -> str | None:
        """Where the image came from, by the property that says so."""
        return next((name for name in _ORIGINS if self.source.get(name)), None)

    @property
    def kind(self) -> str:
        """What the image is of: `cloud` for one that came as a file, `snapshot`, `volume`."""
        return self.type if self.type in ("snapshot", "volume") else "cloud"

    @property
    def generations(self) -> list[str]:
        """Every digest that may have a volume."""
        found = (self.current, self.next, *self.superseded)
        return list(dict.fromkeys(digest for digest in found if digest))


def record_name(template: str) -> str:
    """The name under which the sidecar keeps a template's record."""
    return f"{_RECORD}{template}"


def template_names(pool: handles.StoragePool) -> list[str]:
    """The templates that an active pool holds. Raises libvirtError."""
    return sorted(among(lookup.names(pool)))


def among(names: Iterable[str]) -> Iterator[str]:
    """The templates whose records are among the names of a pool's files."""
    before, after = volume_record.volume_name(f"{_RECORD}\0").split("\0")
    return (name[len(before) : -len(after)] for name in names if name.startswith(before) and name.endswith(after))


def template_of(node: Node, reference: str, path: Path = (), pool: str | None = None) -> TemplateVolume:
    """The template of an id, of pool/name, or of a name that is unique on the node (in `pool`, when it is given).

    Raises NotFound with the templates that exist, Invalid when the name is ambiguous, Rejected when it is not usable.
    """
    with libvirt_errors(f'template "{shortened(reference)}"', path):
        where, slash, name = reference.rpartition("/")
        if slash or pool is not None:
            places = [lookup.active_pool_of(node, where if slash else pool or "", path)]
        else:
            places = lookup.active_pools(node.connection)
        found = [(place, record) for place in places if (record := _kept(place, name)) is not None]
        if len(found) > 1:
            names = " and ".join(f'"{place.name()}/{name}"' for place, _ in found)
            raise Invalid(f'there is more than one template "{name}": write {names}', path=path)
        if not found:
            known = (f"{place.name()}/{one}" for place in places for one in _names(place))
            raise NotFound(
                f'there is no template "{shortened(reference)}" on the node; there are: {listed(known)}',
                path=path,
            )
        return _usable(found[0][0], name, found[0][1], path)


def paths_of(node: Node, reference: str, path: Path = ()) -> list[str]:
    """The files of all generations that a template has. Raises as `template_of`."""
    template = template_of(node, reference, path)
    with libvirt_errors(f'template "{shortened(reference)}"', path):
        found = volume_record.get(template.pool, record_name(template.name))
        names = [volume_name(template.name, one) for one in Record.of(found).generations] if found is not None else []
        volumes = (lookup.find_volume(template.pool, name) for name in names)
        return [volume.path() for volume in volumes if volume is not None]


def _kept(pool: handles.StoragePool, name: str) -> Sidecar | None:
    return lookup.unless_lost(pool, lambda: volume_record.get(pool, record_name(name)))


def _names(pool: handles.StoragePool) -> list[str]:
    return lookup.unless_lost(pool, lambda: template_names(pool)) or []


def _usable(pool: handles.StoragePool, name: str, found: Sidecar, path: Path) -> TemplateVolume:
    record = Record.of(found)
    if not record.current or found.phase == "deleting":
        raise Rejected(
            f'template "{pool.name()}/{name}" is not complete; apply the program that declares it', path=path
        )
    volume_named = volume_name(name, record.current)
    volume = lookup.find_volume(pool, volume_named)
    if volume is None:
        lookup.refresh(current(), pool)
        volume = lookup.find_volume(pool, volume_named)
    if volume is None:
        raise NotFound(
            f'template "{pool.name()}/{name}" has lost its volume {volume_named}; apply the program that declares it',
            path=path,
        )
    return TemplateVolume(pool, name, volume, volume_named, volume.path(), found.format, record.size, record.length)


def refuse_damaged(template: TemplateVolume, path: Path = ()) -> None:
    """Raise Rejected for an image that somebody cut off or replaced: nothing is to stand on it. Raises libvirtError."""
    now = number(volume_xml(template.volume), "physical") or 0
    if now < max(template.length, 1):
        raise Rejected(
            f'the image of template "{template.name}" was cut off or replaced: {template.path}; apply the program that '
            "declares it, which puts it there again",
            path=path,
        )


def refuse_going(template: TemplateVolume, path: Path = ()) -> None:
    """Raise Rejected when the template is being removed: asked after something was made on top of it.

    Whoever removes one says so in the record first and looks for users then, so one of the two sees the other.
    """
    found = volume_record.get(template.pool, record_name(template.name))
    names = parsed_name(template.volume_name)
    if found is None or found.phase == "deleting" or names is None or names[1] in Record.of(found).going:
        raise Rejected(f'template "{template.pool.name()}/{template.name}" is being removed; run again', path=path)


def users_of(
    node: Node, paths: Iterable[str], disks: Mapping[str, Sequence[DomainDisk]] | None = None
) -> list[str]:  # fmt: skip
    """The volumes and domains that stand on any of the files, as words of a sentence. Raises libvirtError.

    `disks` are those of domains that count, by path; by default every one.
    """
    wanted, disks = list(paths), disk_users(node.connection) if disks is None else disks
    found = [f'volume "{name}"' for path in wanted for name in lookup.backing_users(node.connection, path)]
    return found + sorted({f'domain "{disk.name}"' for path in wanted for disk in disks.get(path, ())})


def left_behind(node: Node, users: Iterable[str]) -> list[str]:
    """Those of the `users` which are root disks of machines that are not there any more. Raises libvirtError."""
    roots = [(user, found["uuid"]) for user in users if (found := _ROOT.search(user))]
    known = {domain.UUIDString() for domain in node.connection.listAllDomains(0)} if roots else set()
    return [user for user, uuid in roots if uuid not in known]


def release_template(work: Work, node: Node, template: str | handles.StorageVol) -> None:
    """After a volume that stood on it is gone: remove the generation when it is superseded and has no user left.

    `template` is the generation's volume or its path; what is no template, or in use, is left alone.
    Again: yes. Raises libvirtError.
    """
    if isinstance(template, str):
        try:
            template = node.connection.storageVolLookupByPath(template)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL:
                return
            raise
    names = parsed_name(template.name())
    if names is not None:
        sweep(work, node, template.storagePoolLookupByVolume(), names[0])


def sweep(work: Work, node: Node, pool: handles.StoragePool, name: str) -> None:
    """Remove the generations of a template that were superseded and that nobody uses any more.

    Again: yes. Raises libvirtError.
    """
    with node.pool_lock(pool.UUIDString()):
        found = volume_record.get(pool, record_name(name))
        if found is None:
            return
        record = Record.of(found)
        idle = [one for one in record.superseded if one not in (record.current, record.next)]
        going = [one for one in idle if not _users(node, pool, name, one)]
        if not going:
            return
        volume_record.put(pool, record_name(name), found.having(facts=replace(record, going=tuple(going)).facts()))
        gone = {one for one in going if _removed(work, node, pool, name, one)}
        left = tuple(one for one in record.superseded if one not in gone)
        facts = replace(record, superseded=left, going=()).facts()
        volume_record.put(pool, record_name(name), found.having(facts=facts))


def _users(node: Node, pool: handles.StoragePool, name: str, digest: str) -> list[str]:
    volume = lookup.find_volume(pool, volume_name(name, digest))
    return [] if volume is None else users_of(node, [volume.path()])


def _removed(work: Work, node: Node, pool: handles.StoragePool, name: str, digest: str) -> bool:
    """Remove a generation's volume unless somebody uses it after all; whether it is gone."""
    volume = lookup.find_volume(pool, volume_name(name, digest))
    if volume is None:
        return True
    if users_of(node, [volume.path()]):
        return False
    work.status(f'removing "{volume.name()}", which nothing uses any more')
    lookup.delete_volume(volume)
    return True
