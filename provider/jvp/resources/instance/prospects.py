"""Why the create of an instance would fail as the node is now, told by its plan in the words of the create."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

from jvp.core.errors import JvpError
from jvp.core.identity import Key
from jvp.core.types import memory_bytes, size_text
from jvp.core.values import has_unknown, known
from jvp.core.work import Work
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import marks
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element
from jvp.libvirt.node_view import View
from jvp.resources.foreseen import attempt, is_there, obstacles, pool_of
from jvp.resources.instance import attaching, cards, machine, references, rootplan
from jvp.resources.instance.devices_model import Tpm
from jvp.resources.instance.disk_model import Disk, RootDisk
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.instance.nic_model import Nic, is_user_mode
from jvp.resources.instance.patching import skeleton
from jvp.resources.instance.references import There


def of(view: View, work: Work, spec: Instance, key: Callable[[], Key], virt_type: str | None) -> Iterator[JvpError]:
    """`virt_type` is how the instance is to run, where that is settled."""
    what, node = f'instance "{spec.name}"', view.node
    yield from _root(view, work, what, spec)
    disks = [*_disks(view, what, spec)]  # first, for its look at the domains answers for the MACs, too
    yield from _cards(view, work, what, spec, key)
    if is_there(node.plans, spec.iso, "template", "volume"):
        yield from obstacles(what, lambda: attaching.iso_source(view, str(spec.iso), ("iso",)))
    yield from disks
    yield from _machine(DomainApi(node), what, spec, virt_type)


def _disks(view: View, what: str, spec: Instance) -> Iterator[JvpError]:
    for index, disk in enumerate(spec.disks if known(spec.disks) else ()):
        if isinstance(disk, Disk) and is_there(view.node.plans, disk.volume, "volume"):
            yield from obstacles(what, partial(attaching.refuse_in_use, view, disk, index))


def of_change(view: View, spec: Instance, prior: InstanceState) -> Iterator[JvpError]:
    """The same of an update, for what the instance refers to newly, and for memory that it is to have more of."""
    what, node = f'instance "{prior.name}"', view.node
    places = {nic.name: (nic.network, nic.bridge, nic.device) for nic in prior.nics}
    for index, nic in enumerate(spec.nics if known(spec.nics) else ()):
        new = isinstance(nic, Nic) and (nic.network, nic.bridge, nic.device) != places.get(nic.name)
        if new and _is_on(node, nic):
            yield from obstacles(what, partial(references.network, view, spec, index, nic, There()))
    yield from _firewalls(view, what, spec)
    volumes = {disk.name: (disk.volume, bool(disk.shareable)) for disk in prior.disks}
    for index, disk in enumerate(spec.disks if known(spec.disks) else ()):
        new = isinstance(disk, Disk) and (disk.volume, bool(disk.shareable)) != volumes.get(disk.name)
        if new and is_there(node.plans, disk.volume, "volume"):
            yield from obstacles(what, partial(attaching.refuse_in_use, view, disk, index))
    if spec.iso != prior.iso and is_there(node.plans, spec.iso, "template", "volume"):
        yield from obstacles(what, lambda: attaching.iso_source(view, str(spec.iso), ("iso",)))
    if known(spec.memory) and _is_more(spec.memory, prior.memory):
        yield from obstacles(what, lambda: machine.refuse_memory(DomainApi(node), spec))


def _is_more(memory: str, before: str) -> bool:
    """Whether it is more memory than before; more than what is none, as somebody may define it, is any."""
    with contextlib.suppress(ValueError):
        return memory_bytes(memory) > memory_bytes(before)
    return True


def _root(view: View, work: Work, what: str, spec: Instance) -> Iterator[JvpError]:
    node = view.node
    disk = spec.root_disk if isinstance(spec.root_disk, RootDisk) else None
    place = disk.pool if disk is not None else None
    origins = {"template": spec.template, "snapshot": spec.snapshot}
    template_is_there = known(spec.snapshot_disks) and all(
        is_there(node.plans, text, kind) for kind, text in origins.items() if text is not None
    )
    if place is not None and not (template_is_there and is_there(node.plans, place, "storage pool")):
        yield from pool_of(node, what, place, ("rootDisk", "pool"))
    elif template_is_there and known(spec.root_disk) and not (disk and has_unknown(disk.bag())):
        plan = yield from attempt(what, lambda: rootplan.plan_root(view, spec))
        if plan is not None and (made_from := plan.made_from) is not None:
            copied = size_text(made_from.allocation)
            work.warn(f'{what} is a copy of the snapshot "{made_from.snap.name}": {copied} are copied')


def _cards(view: View, work: Work, what: str, spec: Instance, key: Callable[[], Key]) -> Iterator[JvpError]:
    node = view.node
    if not known(spec.nics):
        return
    nics = [nic if isinstance(nic, Nic) else Nic.model_construct(name="") for nic in spec.nics]
    for index, nic in enumerate(nics):
        name = None
        if _is_on(node, nic):
            name = yield from attempt(what, partial(references.network, view, spec, index, nic, There()))
        if not known(nic.mac):
            nics[index] = nic = nic.model_copy(update={"mac": None, "address": None})
        if name is None or not known(nic.address):
            nics[index] = nic.model_copy(update={"network": None, "address": None})
    sure = spec.model_copy(update={"nics": nics})
    stack = key().stack

    def moves(uuid: str, root: Element) -> bool:
        return node.plans.moves(uuid, ours=bool(stack) and marks.stack_of(root) == stack)

    with node.claims.held():
        yield from obstacles(
            what,
            lambda: references.refuse_macs(view, sure, "", references.claimed_macs(node, sure, There()), moves),
            lambda: cards.refuse(work, view, sure, "", None, stack),
        )
    yield from _firewalls(view, what, spec)


def _is_on(node: Node, nic: Nic) -> bool:
    """Whether a card is on something that is there already, as far as the program tells."""
    if nic.network is None:
        return known(nic.bridge, nic.device) and not is_user_mode(nic)
    return is_there(node.plans, nic.network, "network")


def _firewalls(view: View, what: str, spec: Instance) -> Iterator[JvpError]:
    for index, nic in enumerate(spec.nics if known(spec.nics) else ()):
        if isinstance(nic, Nic) and is_there(view.node.plans, nic.firewall, "firewall"):
            yield from obstacles(what, partial(view.firewall, str(nic.firewall), ("nics", index, "firewall")))


def _machine(api: DomainApi, what: str, spec: Instance, virt_type: str | None) -> Iterator[JvpError]:
    root = yield from attempt(what, lambda: skeleton("", api.arch(), virt_type or "qemu"))
    if root is None:
        return
    if known(spec.cpus, spec.max_cpus, spec.memory, spec.max_memory):
        yield from obstacles(what, lambda: machine.refuse_too_large(api, root, spec, {"memory"}))
    asked = {"firmware"} if known(spec.firmware) else set()
    if known(spec.machine):
        asked |= {"machine"}
        # Without it nothing can be said of what the machine has.
        asked |= {"rootDisk"} if isinstance(spec.root_disk, RootDisk) and known(spec.root_disk.bus) else set()
        asked |= {"tpm"} if isinstance(spec.tpm, Tpm) and known(spec.tpm.type, spec.tpm.model) else set()
        asked |= {"cpuMode"} if known(spec.cpu_mode) and virt_type is not None else set()
        if spec.machine is not None:
            machine.put_machine(root, spec.machine)
    yield from obstacles(what, lambda: machine.refuse_unsupported(api, root, spec, asked))
