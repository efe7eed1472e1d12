"""The verbs of instances. The domain is the record of what was made: defined first, undefined last."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from jvp.core.declaration import Noted
from jvp.core.diff import Change
from jvp.core.errors import JvpError
from jvp.core.handler import Handler, Outcome, Partial
from jvp.core.identity import Bearing, Key, generation, refuse_unmarked, remade, unmarked
from jvp.core.values import known
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import marks
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.node_view import View
from jvp.resources.foreseen import obstacles
from jvp.resources.instance import (
    acceleration,
    changing,
    compact_triggers,
    drift,
    listing,
    machine,
    making,
    planning,
    prospects,
    reading,
    removal,
    restarting,
    rootdisk,
    saved,
    xml_writing,
)
from jvp.resources.instance.bearing import bearing_of
from jvp.resources.instance.items import InstanceFilters, InstanceItem
from jvp.resources.instance.model import Instance, InstanceState, InstanceType
from jvp.resources.provider import Provider


class Instances(InstanceType, Handler[Instance, InstanceState]):
    """The verbs of instances."""

    def __init__(self, node: Node, provider: Provider) -> None:
        self.node, self.provider = node, provider
        self.api = DomainApi(node)

    def create(self, work: Work, key: Key, spec: Instance) -> Outcome[InstanceState]:
        with libvirt_errors(f'instance "{spec.name or key.label}"'), self.node.claims.held():
            return making.make(work, self.api, self.provider, key, spec)

    def read(
        self, work: Work, object_id: str, prior: InstanceState | None
    ) -> InstanceState | Partial[InstanceState] | None:
        with libvirt_errors(f'instance "{prior.name if prior else object_id}"'):
            domain, view = self.api.find(object_id), View(self.node)
            if domain is None:
                reading.warn_of_left(work, self.node, prior)
                return None
            root = devices.inactive_xml(domain)
            if (bears := bearing_of(work, root, prior)) is Bearing.REMADE:
                work.warn(remade(f'instance "{prior.name if prior else object_id}"'))
                reading.warn_of_left(work, self.node, prior, remade=True)
                return None
            if prior is not None:
                if not work.looks:
                    self.api.acknowledge(root)
                reading.warn_of_undefined(work, domain)
                if (why := rootdisk.damage(work, view, root, prior)) is not None:
                    work.warn(why)
            state = reading.read(work, view, domain, root, prior)
            if prior is None and not work.looks:
                reading.refuse_import(state)
            reasons = [unmarked(f'instance "{state.name}"')] if bears is Bearing.UNMARKED else []
            if prior is not None or work.looks:
                reasons += [why for one in (restarting, compact_triggers) if (why := one.left(domain, root))]
            return Partial(object_id, state, tuple(reasons)) if reasons else state

    def update(
        self, work: Work, object_id: str, prior: InstanceState, spec: Instance, changes: Sequence[Change]
    ) -> Outcome[InstanceState]:
        with libvirt_errors(f'instance "{prior.name}"'), self.node.claims.held():
            return changing.change(work, self.api, self.provider, object_id, prior, spec, changes)

    def delete(self, work: Work, object_id: str, prior: InstanceState | None) -> None:
        with libvirt_errors(f'instance "{prior.name if prior else object_id}"'):
            patience = prior.shutdown_timeout if prior is not None else None
            path = prior.root_disk_path if prior else None
            found, what = self.api.defined(object_id), f'instance "{prior.name if prior else object_id}"'
            if found is not None and not refuse_unmarked(work, bearing_of(work, found.root, prior), what):
                reading.warn_of_left(work, self.node, prior, remade=True)
                return
            removal.remove(work, self.api, object_id, found, path, patience, whole=reading.goes_too(prior))

    def find(self, work: Work, reference: str) -> str:
        with libvirt_errors(f'instance "{reference}"'):
            return str(self.api.by_reference(self.node.here(reference), ()).UUIDString())

    def noted(self, work: Work, object_id: str) -> Noted | None:
        with libvirt_errors(f'instance "{object_id}"'):
            found = self.api.defined(object_id)
            return None if found is None else Noted.of(marks.bearer(found.root), self.spec)

    def list(self, work: Work, filters: InstanceFilters | None = None) -> Iterator[InstanceItem]:
        with libvirt_errors("instances"):
            yield from listing.items(self.node, work, filters or InstanceFilters())

    def effects(self, changes: Sequence[Change], state: InstanceState, new: dict[str, Any]) -> Iterable[Change]:
        return planning.effects(changes, state, new)

    def looked(
        self, work: Work, changes: Sequence[Change], state: InstanceState, new: dict[str, Any]
    ) -> Iterable[Change]:  # fmt: skip
        view, found = View.of(work, self.node), None
        with contextlib.suppress(JvpError), libvirt_errors("instance"):
            found = view.domain(state.uuid) if state.uuid is not None else None
        return drift.looked(view, found, changes, state, new)

    def obstacles(self, work: Work, spec: Instance, key: Callable[[], Key]) -> Iterator[JvpError]:
        name, wanted = spec.name, spec.virt_type or self.provider.virt_type
        if known(name) and name is not None:
            _, uuid, _ = generation(key(), self.api.find, making.mark_of)
            yield from obstacles(f'instance "{name}"', lambda: making.refuse_taken(self.api, name, uuid))
        if known(spec.xml):
            refuse = partial(xml_writing.refuse_namespace, self.provider, spec.xml)
            yield from obstacles(f'instance "{name}"', refuse)
        settled = known(wanted) and wanted != "auto"
        if settled:
            choose = partial(acceleration.chosen, work, self.node, self.provider, spec, None)
            yield from obstacles(f'instance "{name}"', choose)
        yield from prospects.of(View.of(work, self.node), work, spec, key, wanted if settled else None)

    def standing(self, state: InstanceState) -> Iterator[str]:
        return planning.standing(state)

    def predict(self, spec: Instance, prior: InstanceState | None) -> dict[str, Any]:
        return planning.predict(spec, prior)

    def warnings(self, work: Work, spec: Instance, prior: InstanceState | None) -> Iterator[str]:
        yield from planning.warnings(spec, prior)
        if not self.node.is_session:
            yield from planning.cards_without_network(spec, prior)
        view = View.of(work, self.node)
        with libvirt_errors("instance"):
            found = view.domain(prior.uuid) if prior is not None else None
            if prior is None or found is None:
                return
            odd = machine.misfit(found.root, spec, prior)
            lost, damage = saved.dropped(found.domain, spec), rootdisk.damage(work, view, found.root, prior)
        yield from filter(None, (lost, *(f"{why}: this will fail" for why in (odd, damage) if why)))
        yield from map(str, prospects.of_change(view, spec, prior))
