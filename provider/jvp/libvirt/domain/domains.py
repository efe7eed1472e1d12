"""Domains through libvirt: finding, defining, our notes in their metadata, and undefining with all they own."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from dataclasses import dataclass

import libvirt

from jvp.core.abandon import turn
from jvp.core.errors import Invalid, NotFound, Path
from jvp.core.identity import Mark
from jvp.core.types import is_uuid, shortened
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.link import handles, marks, told
from jvp.libvirt.link.errors import Gone, is_gone, unschematic
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, parse, text_of, value

_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
BOOT = "boot"
"""A fact of the mark: the domain's runtime number when changes were deferred. Another one means: power-cycled since."""

_DEFERRING = threading.Lock()
"""A network and a volume may be made at the same time under one guest."""


def pending_of(domain: handles.Domain, root: Element) -> dict[str, str]:
    """What we deferred to the next boot (`root` is the inactive XML) and no power cycle has settled since."""
    return marks.pending_of(root) if marks.facts_of(root).get(BOOT) == str(domain.ID()) else {}


@dataclass(frozen=True)
class Defined:
    """A domain and its inactive definition, which can be written back."""

    domain: handles.Domain
    root: Element


def runs(domain: handles.Domain) -> bool:
    """Whether a domain ran when it was looked up: asks nobody."""
    return bool(domain.ID() != -1)


class DomainApi:
    """The calls on domains of one node. Raise libvirtError unless they say otherwise."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def arch(self) -> str:
        """The node's own architecture: x86_64."""
        return self.node.arch

    def machines(self, arch: str) -> dict[str, str]:
        """The machine types that the node knows for an architecture, with the version that each name means now."""
        root = parse(self.node.connection.getCapabilities())
        found = root.iterfind(f"guest/arch[@name='{arch}']/machine")
        return {one.text or "": one.get("canonical") or one.text or "" for one in found}

    def memory_bytes(self) -> int:
        """The node's memory."""
        return int(self.node.connection.getInfo()[1]) << 20

    def most_cpus(self, arch: str, machine: str | None) -> int | None:
        """How many CPUs a machine type takes on the node; None when the node does not say."""
        root = parse(self.node.connection.getCapabilities())
        found = root.iterfind(f"guest/arch[@name='{arch}']/machine")
        limits = [one.get("maxCpus") for one in found if machine in (one.text, one.get("canonical"))]
        return next((limit for limit in map(told.number, limits) if limit), None)

    def capabilities(self, arch: str, machine: str | None, virt_type: str | None) -> Element | None:
        """What the node offers to a domain of this kind; None when it has no such machine type."""
        try:
            return parse(self.node.connection.getDomainCapabilities(None, arch, machine, virt_type, 0))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_INVALID_ARG:
                return None
            raise

    def find(self, uuid: str) -> handles.Domain | None:
        """The domain with this uuid, None when there is none."""
        try:
            return self.node.connection.lookupByUUIDString(uuid)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.DOMAIN):
                return None
            raise

    def defined(self, uuid: str) -> Defined | None:
        """The same with its definition."""
        domain = self.find(uuid)
        return Defined(domain, devices.inactive_xml(domain)) if domain is not None else None

    def named(self, name: str) -> handles.Domain | None:
        """The domain with this name, None when there is none."""
        try:
            return self.node.connection.lookupByName(name)
        except libvirt.libvirtError as error:
            if is_gone(error, Gone.DOMAIN):
                return None
            raise

    def by_reference(self, reference: str, path: Path) -> handles.Domain:
        """The domain of an id or name. Raises NotFound with the names that exist."""
        found = (self.find(reference) if is_uuid(reference) else None) or self.named(reference)
        if found is None:
            names = listed(one.name() for one in self.node.connection.listAllDomains(0))
            raise NotFound(f'there is no instance "{shortened(reference)}" on the node; there are: {names}', path=path)
        return found

    def define(self, root: Element, *, strictly: bool = False) -> handles.Domain:
        """Define or redefine by the uuid in `root`. `strictly`: raises Invalid for what its schema does not know."""
        flags = libvirt.VIR_DOMAIN_DEFINE_VALIDATE if strictly else 0
        try:
            return self.node.connection.defineXMLFlags(text_of(root), flags)
        except libvirt.libvirtError as error:
            if strictly and error.get_error_code() == libvirt.VIR_ERR_XML_INVALID_SCHEMA:
                raise Invalid(f"libvirt's schema does not allow this: {unschematic(error)}") from None
            raise

    def acknowledge(self, root: Element) -> None:
        """Note in the inactive definition `root` that an engine's state has the object. Best effort, and nothing when
        it is noted or foreign."""
        with contextlib.suppress(libvirt.libvirtError):
            mark = marks.mark_of(root)
            if mark is not None and not mark.acknowledged:
                acknowledged = dataclasses.replace(mark, acknowledged=True)
                marks.put(root, marks.element_of(acknowledged, marks.facts_of(root), marks.pending_of(root)))
                self.define(root)

    def note(self, domain: handles.Domain, pending: dict[str, str], *, acknowledge: bool = True) -> None:
        """Keep in the metadata what waits for the next power cycle, and that an engine's state has the object."""
        root = devices.inactive_xml(domain)
        element = marks.find(root)
        if (element is None and not pending) or not domain.isPersistent():
            return  # of one that somebody undefined nothing is left after its next power cycle
        old = marks.parsed(element) if element is not None else Mark("", 0)
        mark = dataclasses.replace(old, acknowledged=old.acknowledged or acknowledge)
        facts = marks.facts_of(root)
        facts = {**facts, BOOT: str(domain.ID())} if pending else {k: v for k, v in facts.items() if k != BOOT}
        if pending == marks.pending_of(root) and mark == old and facts == marks.facts_of(root):
            return
        marks.put(root, marks.element_of(mark, facts, pending))
        self.define(root)

    def redeclare(self, domain: handles.Domain, work: Work) -> None:
        """Note what is declared of the domain that an earlier try of the same create has made."""
        root = devices.inactive_xml(domain)
        mark = marks.mark_of(root)
        if mark is not None and mark != (new := mark.declaring(work.declaration)) and domain.isPersistent():
            marks.put(root, marks.element_of(new, marks.facts_of(root), marks.pending_of(root)))
            self.define(root)

    def defer(self, domain: handles.Domain, path: str, why: str) -> None:
        """Note one thing more that waits for the next power cycle."""
        with turn(_DEFERRING, "another change that waits for a power cycle"):
            self.note(domain, {**pending_of(domain, devices.inactive_xml(domain)), path: why})

    def forget(self, domain: handles.Domain, fact: str) -> None:
        """Take a fact out of the mark."""
        root = devices.inactive_xml(domain)
        marks.set_fact(root, fact, "")
        self.define(root)

    def memories(self, domain: handles.Domain) -> list[tuple[str, str]]:
        """Its external snapshots with memory: their names, and the files that hold it."""
        found = [(one.getName(), parse(one.getXMLDesc(0))) for one in domain.listAllSnapshots(0)]
        return [(name, file) for name, root in found if (file := value(root, "memory/@file"))]

    def undefine(self, domain: handles.Domain) -> None:
        """Undefine with managed save, NVRAM and the metadata of snapshots; gone already is fine."""
        try:
            domain.undefineFlags(_UNDEFINE)
        except libvirt.libvirtError as error:
            # One that was undefined while it ran cannot be, and is gone with its end.
            if not is_gone(error, Gone.DOMAIN) and _is_persistent(domain):
                raise


def _is_persistent(domain: handles.Domain) -> bool:
    try:
        return bool(domain.isPersistent())
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.DOMAIN):
            return False
        raise
