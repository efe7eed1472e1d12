"""What becomes of the guests' cards when a network is restarted, and before it goes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

from jvp.core.errors import Busy, Rejected
from jvp.core.identity import Mark
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.domain.disks import refuse_saved
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, parse, text_of, value
from jvp.libvirt.network.networks import NetworkApi

REPLUG = "its network was restarted and the guest did not let go of the card; takes effect at the next power cycle"
AT_ONCE = 8
"""So many guests are asked to let go of their cards at the same time."""
GuestCards = tuple[handles.Domain, list[Element]]


class Restart:
    """The guests on a network that stops: their NICs lose the bridge and must be plugged in again.

    That a restart began is noted in the network's mark, so that a later run finishes what a crash cut off.
    """

    _FACT = "restarting"

    def __init__(self, node: Node, network: handles.Network) -> None:
        self.node, self.network, self.name = node, network, network.name()

    @classmethod
    def is_noted(cls, root: Element) -> bool:
        """Whether a restart of this network (its inactive XML) was begun and not finished."""
        return cls._FACT in marks.facts_of(root)

    @classmethod
    def note(cls, root: Element) -> None:
        """Write into `root`, which is then defined, that a restart begins. A network that was imported has no mark."""
        if marks.find(root) is None:
            marks.put(root, marks.element_of(Mark("", 0)))
        marks.set_fact(root, cls._FACT, "yes")

    @classmethod
    def drop(cls, root: Element) -> None:
        """Take the note out of `root` again, and a mark with it that says nothing else."""
        marks.set_fact(root, cls._FACT, "")
        if marks.is_empty(root):
            marks.drop(root)

    def finish(self, work: Work) -> None:
        """Plug the guests' NICs in again when a restart was noted, and take the note away."""
        root = parse(self.network.XMLDesc(NetworkApi.INACTIVE))
        if not self.is_noted(root):
            return
        self._warn_of_others(work)
        guests = list(self._guests())
        for domain, _ in guests:
            work.status(f'plugging "{domain.name()}" into network "{self.name}" again')
        # All of them are cut off until then: one that does not answer keeps no other waiting.
        for (domain, _), held in zip(guests, self._each(functools.partial(devices.replug, work), guests), strict=True):
            for nic in held:
                self._defer(work, domain, nic)
        self.drop(root)
        self.network.connect().networkDefineXML(text_of(root))

    def _warn_of_others(self, work: Work) -> None:
        """Guests that jvp does not manage are not touched."""
        running = devices.running_definitions(self.node.connection)
        others = sorted(domain.name() for domain, root in running if not devices.is_ours(root) and self._of(root))
        if others:
            work.warn(
                f'{", ".join(others)} of others on network "{self.name}" lost their bridge when that stopped, until '
                "the next power cycle or until the card is plugged in again"
            )

    def _defer(self, work: Work, domain: handles.Domain, nic: Element) -> None:
        """A guest that does not let go of its NIC gets it back with its next power cycle: said now, and noted."""
        alias = devices.alias_of(nic) or ""
        ours = alias.startswith(devices.NIC_ALIAS)
        card = alias.removeprefix(devices.NIC_ALIAS) if ours else (value(nic, "mac/@address") or "").replace(":", "-")
        work.warn(
            f'"{domain.name()}" does not let go of its card "{card}" to be plugged into network "{self.name}" again; '
            "it is cut off until its next power cycle"
        )
        DomainApi(self.node).defer(domain, f"nics.{card}", REPLUG)

    def release(self, work: Work, users: Collection[str]) -> None:
        """Before the network goes: unplug the NICs of our own instances, which are among its `users`, domains by uuid.

        Raises Rejected for those of others. Source of the need: an engine deletes a network before it updates the
        instance that gave it up.
        """
        there = self._definitions_of(users) if users else ()
        using = [
            (domain, root) for domain, root in there if self._of(root) or self._of(devices.live_xml_or(domain, root))
        ]
        foreign = sorted(domain.name() for domain, root in using if not devices.is_ours(root))
        if foreign:
            raise Rejected(f'network "{self.name}" is used by {", ".join(foreign)}, which jvp does not manage')
        refuse_saved(self.network.connect(), f'network "{self.name}"', lambda root: bool(self._of(root)))
        running = []
        for domain, root in using:
            for nic in self._of(root):
                parent = nic.getparent()
                assert parent is not None
                parent.remove(nic)
            domain.connect().defineXML(text_of(root))
            if domain.isActive():
                running.append((domain, self._of(devices.live_xml(domain))))
        held = self._each(functools.partial(devices.unplug_all, work), running)
        names = [domain.name() for (domain, _), nics in zip(running, held, strict=True) if nics]
        if names:
            holding = ", ".join(f'"{name}" does not let go of its NIC' for name in names)
            raise Busy(f'network "{self.name}" is in use: {holding}')

    def _each(
        self, step: Callable[[handles.Domain, list[Element]], list[Element]], guests: list[GuestCards]
    ) -> list[list[Element]]:
        """Take a step with each guest and its cards, with several guests at the same time."""

        def taken(guest: GuestCards) -> list[Element]:
            return step(*guest)

        with ThreadPoolExecutor(AT_ONCE) as workers:
            return list(workers.map(taken, guests))

    def _guests(self) -> Iterator[GuestCards]:
        """Our running guests with a card on the network."""
        for domain, root in devices.running_definitions(self.node.connection):
            if devices.is_ours(root) and (nics := self._of(devices.live_xml_or(domain, root))):
                yield domain, nics

    def _definitions_of(self, users: Collection[str]) -> Iterator[tuple[handles.Domain, Element]]:
        there = self.node.connection.listAllDomains(0)
        return devices.definitions(one for one in there if one.UUIDString() in users)

    def _of(self, root: Element) -> list[Element]:
        """The cards on the network."""
        return [nic for nic in root.iterfind("devices/interface") if value(nic, "source/@network") == self.name]
