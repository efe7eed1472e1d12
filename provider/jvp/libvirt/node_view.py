"""What one call sees of its node: everything is asked for when it is first needed, and once."""

from __future__ import annotations

import contextlib
import threading

import libvirt

from jvp.core.errors import NotFound, Path
from jvp.core.work import Work, current
from jvp.libvirt.domain import devices
from jvp.libvirt.domain.disks import DomainDisk, Domains, seen_domains
from jvp.libvirt.domain.domains import Defined, DomainApi
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, is_gone
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, number, parse, value, volume_xml
from jvp.libvirt.network.filters import FilterApi
from jvp.libvirt.network.networks import NetworkApi
from jvp.libvirt.storage import copy_volume, kinds, lookup, volume_record
from jvp.libvirt.storage.volume_record import Sidecar


class SeenVolume:
    """A volume that its pool lists, and what libvirt and our record say of it. Raises libvirtError."""

    def __init__(self, volume: handles.StorageVol, pool: handles.StoragePool | None = None) -> None:
        self.volume = volume
        self._pool = pool
        self._path: str | None = None
        self._root: Element | None = None
        self._record: tuple[Sidecar | None] | None = None

    @property
    def name(self) -> str:
        return str(self.volume.name())

    @property
    def path(self) -> str:
        if self._path is None:
            self._path = str(self.volume.path())
        return self._path

    @path.setter
    def path(self, known: str) -> None:
        self._path = known

    @property
    def pool(self) -> handles.StoragePool:
        if self._pool is None:
            self._pool = self.volume.storagePoolLookupByVolume()
        return self._pool

    @property
    def id(self) -> str:
        return f"{self.pool.UUIDString()}/{self.name}"

    @property
    def root(self) -> Element:
        """Its XML, which nobody may change. Raises libvirtError where its file is gone."""
        if self._root is None:
            self._root = volume_xml(self.volume)
        return self._root

    @property
    def has_file(self) -> bool:
        try:
            return self.root is not None
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.VOLUME):
                return False
            raise

    @property
    def record(self) -> Sidecar | None:
        """Our record of it, None where it is none of ours. Raises Rejected for one of a newer version."""
        if self._record is None:
            self._record = (volume_record.get(self.pool, self.name),)
        return self._record[0]

    def size(self, format: str | None) -> int:
        """What a guest sees of it as a disk of this format. A raw one that looks like qcow2, because the guest wrote
        that, is as long as its file."""
        other = format == "raw" and copy_volume.format_of(self.root) != "raw"
        return number(self.root, "physical" if other else "capacity") or 0


class View:
    """A node as one call sees it. Raises libvirtError.

    Nothing in it is older than its first question, and nothing is asked again: who has written something that it may
    have seen, or has waited for somebody else, goes on with a `fresh` one. It belongs to one thread, for what is found
    here is bound to that thread's connection.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self._pools: dict[str, handles.StoragePool] = {}
        self._names: dict[str, list[str]] = {}
        self._listed: dict[str, SeenVolume | None] = {}
        self._bases: dict[str, tuple[str, str] | None] = {}
        self._domains: Domains | None = None
        self._definitions: list[tuple[handles.Domain, Element]] | None = None
        self._found: dict[str, Defined | None] = {}
        self._networks: dict[str, handles.Network] = {}
        self._network_roots: dict[str, tuple[Element, ...]] = {}
        self._filters: dict[str, handles.NWFilter] = {}

    @classmethod
    def of(cls, work: Work, node: Node) -> View:
        """What a call that writes nothing has seen so far: the parts of a plan ask for the same things."""
        mine = (node, threading.get_ident())
        return work.seen.setdefault(mine, cls(node))  # type: ignore[no-any-return]

    def fresh(self) -> View:
        """A view that has not seen anything yet."""
        return View(self.node)

    @property
    def users(self) -> dict[str, list[DomainDisk]]:
        """Which domains have which files as disks: see `disk_users`."""
        if self._domains is None:
            self._domains = seen_domains(self.node)
        return self._domains.users

    @property
    def definitions(self) -> list[tuple[handles.Domain, Element]]:
        """Every domain with its inactive definition, which nobody may change. Whoever wants `users` too asks for them
        first: they take more."""
        if self._domains is not None:
            return self._domains.definitions
        if self._definitions is None:
            self._definitions = list(devices.plain_definitions(self.node.connection))
        return self._definitions

    def domain(self, uuid: str) -> Defined | None:
        """The domain with this uuid and its inactive definition, which nobody may change; None when there is none."""
        if uuid not in self._found:
            self._found[uuid] = DomainApi(self.node).defined(uuid)
        return self._found[uuid]

    def network(self, reference: str, path: Path = ()) -> handles.Network:
        """The network of an id or name. Raises NotFound with those that exist."""
        if reference not in self._networks:
            self._networks[reference] = NetworkApi(self.node).by_reference(reference, path)
        return self._networks[reference]

    def firewall(self, reference: str, path: Path = ()) -> handles.NWFilter:
        """The firewall of an id or name. Raises NotFound with those that exist."""
        if reference not in self._filters:
            self._filters[reference] = FilterApi(self.node).by_reference(reference, path)
        return self._filters[reference]

    def network_roots(self, name: str) -> tuple[Element, ...]:
        """How the network of this name is defined and, while it runs, how it runs; nothing where there is none.

        Nobody may change them.
        """
        if name not in self._network_roots:
            api = NetworkApi(self.node)
            found = api.named(name)
            roots = [] if found is None else [api.inactive(found)]
            if found is not None and found.isActive():
                roots.append(parse(found.XMLDesc(0)))
            self._network_roots[name] = tuple(roots)
        return self._network_roots[name]

    def pool(self, reference: str, path: Path = ()) -> handles.StoragePool:
        """The pool of a uuid or name, which runs. Raises NotFound, Stopped."""
        if reference not in self._pools:
            self._pools[reference] = lookup.active_pool_of(self.node, reference, path)
        return self._pools[reference]

    def names(self, pool: handles.StoragePool) -> list[str]:
        """The names of all files that an active pool lists."""
        uuid = pool.UUIDString()
        if uuid not in self._names:
            self._names[uuid] = lookup.names(pool)
        return self._names[uuid]

    def meant(self, reference: str, path: Path = ()) -> SeenVolume:
        """The volume of a reference. Raises NotFound with what there is, Rejected."""
        if reference.startswith("/") and (found := self.listed(reference)) is not None:
            return found
        holder, _, name = reference.partition("/")
        pool = self.pool(holder, path) if holder and name else None
        found = SeenVolume(lookup.volume_of(self.node, reference, path, pool), pool)
        known = self._listed.get(found.path)
        if known is None:
            known = self._listed[found.path] = found
        known.path = found.path
        return known

    def listed(self, path: str) -> SeenVolume | None:
        """The volume at a path, whether its file is there or not; None where no active pool lists it."""
        if path not in self._listed:
            found = None
            with contextlib.suppress(NotFound):  # a path of a pool without files looks like a reference
                is_file = path.startswith("/")
                found = lookup.at_path(self.node, path) if is_file else lookup.volume_of(self.node, path)
            self._listed[path] = SeenVolume(found) if found is not None else None
        return self._listed[path]

    def volume(self, path: str) -> SeenVolume | None:
        """The volume at a path, with its file; None when no active pool has it. Raises Busy.

        One that is listed without a file was removed behind libvirt's back, or another run makes it at this moment:
        then the pool looks at its folder.
        """
        found = self.listed(path)
        return found if found is None or found.has_file else self.refreshed(current(), path, found)

    def refreshed(self, work: Work, path: str, found: SeenVolume) -> SeenVolume | None:
        """The volume at a path after its pool has looked at its folder; None when it is gone. Raises Busy."""
        lookup.refresh(work, found.pool)
        again = lookup.find_volume(found.pool, found.name)
        self._listed[path] = SeenVolume(again, found.pool) if again is not None else None
        self._bases.pop(path, None)
        return self._listed[path]

    def learned(self, path: str) -> SeenVolume | None:
        """The volume at a path, that another tool may have just made: its pool looks at its folder. Raises Busy."""
        found = self.listed(path)
        if found is None and (pool := lookup.pool_at(self.node, kinds.folder_of(path))) is not None:
            lookup.refresh(current(), pool)
            del self._listed[path]
            found = self.listed(path)
        return found

    def base_of(self, path: str) -> tuple[str, str] | None:
        """Path and format of what the volume at a path stands on; None where it stands on nothing. Raises Busy."""
        if path not in self._bases:
            volume = self.learned(path)
            base = value(volume.root, "backingStore/path") if volume is not None else None
            format = (value(volume.root, "backingStore/format/@type") if volume is not None else None) or "raw"
            self._bases[path] = (base, format) if base else None
        return self._bases[path]
