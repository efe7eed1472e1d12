"""The verbs of firewalls. A firewall is one filter of libvirt's nwfilter, and its rules are written whole."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from jvp.core.declaration import Noted
from jvp.core.diff import Change
from jvp.core.errors import JvpError, NotFound, Rejected
from jvp.core.handler import Done, Handler, Outcome, Partial
from jvp.core.identity import Bearing, Key, Mark, bearing, generation, refuse_unmarked, remade, unmarked
from jvp.core.taken import name_taken
from jvp.core.values import known
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, value
from jvp.libvirt.network.filters import FilterApi, definition, switched_off
from jvp.resources.firewall.definition import SPOOFING, comparable, is_damaged, is_written, patch, read, skeleton
from jvp.resources.firewall.items import FirewallFilters, FirewallItem
from jvp.resources.firewall.model import Firewall, FirewallState, FirewallType
from jvp.resources.foreseen import obstacles


class Firewalls(FirewallType, Handler[Firewall, FirewallState]):
    """The verbs of firewalls."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.api = FilterApi(node)

    def create(self, work: Work, key: Key, spec: Firewall) -> Outcome[FirewallState]:
        self._refuse_session()
        with libvirt_errors(f'firewall "{spec.name or key.label}"'):
            number, uuid, left = self._generation(key, spec)
            name = spec.name or key.auto_name(uuid)
            self._refuse_name(name, uuid)
            self._refuse_spoofing(spec)
            root = definition(left) if left is not None else skeleton(uuid)
            patch(root, spec.model_copy(update={"name": name}))
            mark = Mark.new(key, number, work.declaration)
            marks.put(root, marks.element_of(mark, {marks.WROTE: marks.wrote(comparable(read(root)))}))
            found = self.api.define(root)
            self._drop_tries(key, number)
            return Done(uuid, state_of(definition(found)))

    def read(
        self, work: Work, object_id: str, prior: FirewallState | None
    ) -> FirewallState | Partial[FirewallState] | None:
        what = f'firewall "{prior.name if prior else object_id}"'
        with libvirt_errors(what):
            found = self.api.found(object_id)
            if found is None:
                return None
            _, root = found
            bears = _bearing_of(work, root, prior)
            if bears is Bearing.REMADE:
                work.warn(remade(what))
                return None
            if prior is not None and not work.looks:
                self.api.acknowledge(root)
            state = state_of(root)
            reasons = [unmarked(f'firewall "{state.name}"')] if bears is Bearing.UNMARKED else []
            if marks.mark_of(root) is not None and is_damaged(root):
                reasons.append(f'somebody changed what every firewall has in "{state.name}"; it is written again')
            return Partial(object_id, state, tuple(reasons)) if reasons else state

    def update(
        self, work: Work, object_id: str, prior: FirewallState, spec: Firewall, changes: Sequence[Change]
    ) -> Outcome[FirewallState]:
        what = f'firewall "{prior.name}"'
        with libvirt_errors(what), self.node.turn(work, f"the rules of {what}"):
            found = self.api.found(object_id)
            if found is None or _bearing_of(work, found[1], prior) is Bearing.REMADE:
                raise NotFound(f"{what} is gone; refresh the state and run again")
            self._refuse_spoofing(spec)
            root = found[1]
            marks.acknowledge(root)
            patch(root, spec)
            marks.update(root, work, comparable(read(root)))
            return Done(object_id, state_of(definition(self.api.define(root))))

    def delete(self, work: Work, object_id: str, prior: FirewallState | None) -> None:
        what = f'firewall "{prior.name if prior else object_id}"'
        with libvirt_errors(what):
            found = self.api.found(object_id)
            if found is not None and refuse_unmarked(work, _bearing_of(work, found[1], prior), what):
                # Not taken off their cards: what runs would be open, and an engine may not get to the end.
                if users := self.api.users(found[0].name()):
                    raise Rejected(f"{what} is in use by {listed(users)}; take it out of nics[].firewall there first")
                self.api.remove(object_id)

    def predict(self, spec: Firewall, prior: FirewallState | None) -> dict[str, Any]:
        return {"undeclared": []} if prior is None else {}

    def obstacles(self, work: Work, spec: Firewall, key: Callable[[], Key]) -> Iterator[JvpError]:
        self.node.plans.make(self.kind, spec.name)
        what = f'firewall "{spec.name}"'
        yield from obstacles(what, self._refuse_session)
        if self.node.is_session:
            return
        if known(spec.name):
            with libvirt_errors(what):
                _, uuid, _ = self._generation(key(), spec)
            yield from obstacles(what, lambda: self._refuse_name(spec.name or key().auto_name(uuid), uuid))
        yield from obstacles(what, lambda: self._refuse_spoofing(spec))

    def warnings(self, work: Work, spec: Firewall, prior: FirewallState | None) -> Iterator[str]:
        if prior is None:  # of one that is there `standing` tells
            yield from self._switches()

    def standing(self, state: FirewallState) -> Iterator[str]:
        if state.undeclared:
            yield f'firewall "{state.name}" has what no program declares: {listed(state.undeclared)}'
        yield from self._switches()

    def replacement_warnings(self, work: Work, prior: FirewallState) -> Iterator[str]:
        with libvirt_errors(f'firewall "{prior.name}"'):
            if users := self.api.users(prior.name or ""):
                yield (
                    f'firewall "{prior.name}" is deleted only when these name the new one: {listed(users)}; Terraform '
                    "and OpenTofu need lifecycle { create_before_destroy = true } in it for that"
                )

    def _switches(self) -> Iterator[str]:
        """A node may be set up so that nothing comes to the rules. Of another machine nobody tells it."""
        if self.node.is_here and (off := switched_off()):
            switches = " and ".join(f"net.bridge.{name}" for name in off)
            yield f"the rules filter nothing while {switches} of the node is 0; set it to 1 with sysctl"

    def _generation(self, key: Key, spec: Firewall) -> tuple[int, str, handles.NWFilter | None]:
        """As `identity.generation`. It goes on with none that a state is seen to have, though its mark may not say so
        while a guest runs behind it; nor with one of another name, for libvirt renames none."""

        def mark_of(found: handles.NWFilter) -> Mark | None:
            mark, uuid = self.api.mark_of(found), found.UUIDString()
            kept = self.node.plans.sees(uuid) or found.name() != (spec.name or key.auto_name(uuid))
            return replace(mark, acknowledged=True) if mark is not None and kept else mark

        return generation(key, self.api.find, mark_of)

    def _drop_tries(self, key: Key, number: int) -> None:
        """Remove what earlier tries of the create left under other names, by the generations before `number`. One that
        an engine deletes next may be among them; what a state is seen to have stays, and what instances have."""
        for uuid in map(key.uuid, range(number)):
            found = self.api.found(uuid)
            if found is None or self.node.plans.sees(uuid):
                continue
            mark = marks.mark_of(found[1])
            if mark is not None and mark.of(key) and not mark.acknowledged and not self.api.users(found[0].name()):
                self.api.remove(uuid)

    def _refuse_session(self) -> None:
        if self.node.is_session:
            raise Rejected("a qemu:///session daemon filters nothing: its cards have user-mode networking")

    def _refuse_name(self, name: str, uuid: str) -> None:
        other = self.api.named(name)
        if other is not None and other.UUIDString() != uuid:
            with contextlib.suppress(NotFound):
                raise name_taken(self.kind, name, id=other.UUIDString(), holder=self.api.mark_of(other))

    def _refuse_spoofing(self, spec: Firewall) -> None:
        if spec.anti_spoofing is True:
            missing = [name for name in SPOOFING if self.api.named(name) is None]
            if missing:
                why = f"the node lacks libvirt's own filters {listed(missing)}; install libvirt-daemon-config-nwfilter"
                raise Rejected(why, path=("antiSpoofing",))

    def find(self, work: Work, reference: str) -> str:
        with libvirt_errors(f'firewall "{reference}"'):
            return self.api.by_reference(self.node.here(reference), ()).UUIDString()

    def noted(self, work: Work, object_id: str) -> Noted | None:
        with libvirt_errors(f'firewall "{object_id}"'):
            found = self.api.found(object_id)
            return None if found is None else Noted.of(marks.bearer(found[1]), self.spec)

    def users(self, work: Work, object_id: str) -> Sequence[str]:
        with libvirt_errors(f'firewall "{object_id}"'):
            found = self.api.find(object_id)
            return self.api.users(found.name()) if found is not None else ()

    def list(self, work: Work, filters: FirewallFilters | None = None) -> Iterator[FirewallItem]:
        with libvirt_errors("firewalls"):
            yield from _items(self.node.connection.listAllNWFilters(0), self.api, work, filters or FirewallFilters())


def state_of(root: Element) -> FirewallState:
    """A firewall as its definition has it."""
    return FirewallState.model_construct(**read(root))


def _bearing_of(work: Work, root: Element, prior: FirewallState | None) -> Bearing:
    if work.mark is None:
        return Bearing.OURS
    same = prior is None or (value(root, "@name") == prior.name and is_written(root))
    return bearing(marked=marks.find(root) is not None, expected=work.mark, same=same)


def _items(
    every: Sequence[handles.NWFilter], api: FilterApi, work: Work, filters: FirewallFilters
) -> Iterator[FirewallItem]:
    if not filters.looks:
        for one in every:
            if filters.takes(name=one.name()):
                yield FirewallItem.of(id=one.UUIDString(), name=one.name())
        return
    for one, root in api.definitions():
        work.check()
        by = marks.declarer_of(root)
        if not filters.takes(name=one.name()) or not filters.takes_declarer(by):
            continue
        values = read(root)
        yield FirewallItem.of(
            id=one.UUIDString(),
            name=one.name(),
            declared_by=by,
            inbound=values["inbound"],
            outbound=values["outbound"],
            rule_count=len(root.findall("rule")) if by is None else len(values["rules_"]),
        )
