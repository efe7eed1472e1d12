"""What an instance refers to: networks, MACs and volumes. Checked before anything is written, and told by a plan.

What the machine has already is its own, also where others have it too: only what is new to it is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jvp.core.errors import Invalid, Rejected
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, value
from jvp.libvirt.network.networks import NetworkApi
from jvp.libvirt.node_view import View
from jvp.resources.instance import attaching
from jvp.resources.instance.definition import Names, Resolved, card_place, is_declared, nic_key, source_of
from jvp.resources.instance.model import Instance
from jvp.resources.instance.nic_model import Nic
from jvp.resources.instance.storage import source_of_volume


@dataclass(frozen=True)
class There:
    """What a machine has already."""

    paths: frozenset[str] = frozenset()
    macs: frozenset[str] = frozenset()
    running: dict[str, str | None] = field(default_factory=dict)
    """What its cards are on by their names, while it runs: networks, bridges, devices."""

    @classmethod
    def of(cls, domain: handles.Domain | None) -> There:
        """Of a machine that is not made yet (None) nothing. Raises libvirtError."""
        if domain is None:
            return cls()
        root = devices.inactive_xml(domain)
        cards = root.findall("devices/interface")
        paths = (source_of(disk) for disk in root.iterfind("devices/disk"))
        return cls(
            frozenset(path for path in paths if path),
            frozenset((value(card, "mac/@address") or "").lower() for card in cards),
            {nic_key(card): card_place(card)[1] for card in cards} if domain.isActive() else {},
        )


def resolve(
    work: Work,
    view: View,
    spec: Instance,
    uuid: str,
    domain: handles.Domain | None = None,
    give_up: Callable[[], None] | None = None,
) -> Resolved:
    """What the spec's references mean. Raises for whatever is missing, before anything is written.

    But for a volume that another instance of ours has still: then `give_up` is called.

    All is claimed before it is asked who has it: another thread may be about to write it down, and then waits or is
    seen. So one look at the domains answers for every MAC and volume.
    """
    there, claims = There.of(domain), view.node.claims
    found, behind = networks(view, spec, there), firewalls(view, spec)
    macs = claimed_macs(view.node, spec, there)
    iso = attaching.iso_source(view, spec.iso, ("iso",)) if spec.iso is not None else None
    wishes = _wishes(view, spec)
    new = [name for name, wish in wishes.items() if wish.where not in there.paths]
    disks = {name: source_of_volume(wish.where, wish.volume) for name, wish in wishes.items() if name not in new}
    begun, look = None, view
    while look is not begun:  # a wait for one volume makes old what was seen of the others and of the MACs
        claimed = {name: claims.take(wishes[name].where, share=wishes[name].shares) for name in new}
        begun = look = view.fresh()
        if new:
            _ = look.users  # first, for that look answers for the MACs, too
        refuse_macs(look, spec, uuid, macs)
        for name in new:
            disks[name], look = attaching.taken(work, look, wishes[name], uuid, claimed=claimed[name], give_up=give_up)
    return Resolved(disks, found, root=None, seed=None, iso=iso, firewalls=behind)


def _wishes(view: View, spec: Instance) -> dict[str, attaching.Wish]:
    """What the disks are to have, by their names. Raises NotFound, Rejected, Invalid for one that is given twice."""
    found: dict[str, attaching.Wish] = {}
    for index, disk in enumerate(spec.disks):
        wish = attaching.wish(view, disk, index)
        if twice := [name for name, other in found.items() if other.where == wish.where]:
            raise Invalid(f'"{disk.volume}" is the volume of the disk "{twice[0]}" too', path=wish.path)
        found[disk.name] = wish
    return found


def give_up(work: Work, node: Node, domain: handles.Domain, spec: Instance, known: Names) -> None:
    """Let go of the volumes that the program has taken out of the instance, and another one waits for.

    The others stay: the wait may come to nothing, and then nothing is to have been touched.
    """
    view = View(node)
    wanted = {attaching.wish(view, disk, index).where for index, disk in enumerate(spec.disks)}
    every = devices.inactive_xml(domain).iterfind("devices/disk")
    had = {path for disk in every if is_declared(disk, known) and (path := source_of(disk))}
    attaching.give_up(work, node, domain, {path for path in had - wanted if node.claims.wanted(path)})


def networks(view: View, spec: Instance, there: There) -> dict[str, str | None]:
    """The networks' names by the cards'; None is user mode. Raises NotFound, Rejected, libvirtError."""
    return {nic.name: network(view, spec, index, nic, there) for index, nic in enumerate(spec.nics)}


def network(view: View, spec: Instance, index: int, nic: Nic, there: There) -> str | None:
    """The name of one card's network; None where it is on none. Raises Invalid for a bridge or device that is not."""
    if nic.network is None:
        _refuse_missing(view, spec, index, nic, there)
        return None
    path = ("nics", index, "network")
    if view.node.is_session:
        raise Rejected("a qemu:///session daemon has no networks; leave it out for user-mode networking", path=path)
    found = view.network(nic.network, path)
    name = str(found.name())
    if spec.power_state != "stopped" and there.running.get(nic.name) != name and not found.isActive():
        raise Rejected(f'network "{name}" is not active; start it', path=path)
    return name


def _refuse_missing(view: View, spec: Instance, index: int, nic: Nic, there: There) -> None:
    what, name = ("bridge", nic.bridge) if nic.bridge is not None else ("device", nic.device)
    if name is None or spec.power_state == "stopped" or there.running.get(nic.name) == name:
        return
    kind = NetworkApi(view.node).interface(name)
    if kind == NetworkApi.NONE:
        raise Invalid(f'the node has no {"bridge" if nic.bridge else "interface"} "{name}"', path=("nics", index, what))
    if nic.bridge is not None and kind not in (None, "bridge"):
        raise Invalid(f'"{name}" is an interface of the node, and no bridge', path=("nics", index, what))


def firewalls(view: View, spec: Instance) -> dict[str, str]:
    """The firewalls' names by the cards'. Raises NotFound, libvirtError."""
    return {
        nic.name: view.firewall(nic.firewall, ("nics", index, "firewall")).name()
        for index, nic in enumerate(spec.nics)
        if nic.firewall is not None
    }


def claimed_macs(node: Node, spec: Instance, there: There) -> dict[str, int]:
    """The MACs that are new to the machine, with the cards that are to have them. Raises Rejected for one that another
    call of this process gives away at this moment."""
    wanted = {nic.mac.lower(): index for index, nic in enumerate(spec.nics) if nic.mac}
    wanted = {mac: index for mac, index in wanted.items() if mac not in there.macs}
    for mac, index in wanted.items():
        if not node.claims.take(mac):
            raise Rejected(f'"{spec.nics[index].mac}" is given to another instance now', path=("nics", index, "mac"))
    return wanted


def refuse_macs(
    view: View,
    spec: Instance,
    uuid: str,
    wanted: dict[str, int],
    moves: Callable[[str, Element], bool] = lambda *_: False,
) -> None:
    """Raise Rejected for a MAC that another machine has, of which `moves` does not tell that it may give it up."""
    for other, root in view.definitions if wanted else ():
        if other.UUIDString() == uuid:
            continue
        for card in root.iterfind("devices/interface"):
            index = wanted.get((value(card, "mac/@address") or "").lower())
            if index is not None and not moves(other.UUIDString(), root):
                raise Rejected(
                    f'"{spec.nics[index].mac}" is the MAC of a card of "{other.name()}"; {devices.GIVEN_UP_FIRST}',
                    path=("nics", index, "mac"),
                )
