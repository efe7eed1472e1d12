"""The engines' calls: what they keep of an object between runs, over the verbs.

States of older versions, the host that an object was recorded with, adoption, and the spelling of a state are settled
here. A door turns its wire into bags and back, and adds nothing of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from jvp.core import audit, bags
from jvp.core.abandon import leavable
from jvp.core.action import AnyAction
from jvp.core.audit import Sink
from jvp.core.bags import Given
from jvp.core.check import failures_text
from jvp.core.diff import declared
from jvp.core.errors import Busy, NameTaken, NotFound, OtherHost, Rejected, dotted
from jvp.core.facts import Effect
from jvp.core.handler import AnyFunction, AnyHandler, Listed, Partial
from jvp.core.identity import Key, borne, noted
from jvp.core.model import fields, load
from jvp.core.outlook import Outlook
from jvp.core.stored import Plan, Result, Stored, refuse_newer, upgraded
from jvp.core.text import sentence
from jvp.core.values import Bag
from jvp.core.verbs import Verbs
from jvp.core.wanted import unmanaged, unset
from jvp.core.work import Work


class Calls(Verbs):
    """What an engine asks of the verbs, with the state that it keeps. Safe to use from many threads.

    An object is recorded with its host: on another host a look-up would say "gone" of what is still there.
    """

    def __init__(
        self,
        handlers: Mapping[str, AnyHandler],
        functions: Mapping[str, AnyFunction],
        host: Callable[[], str] = lambda: "",
        outlook: Outlook | None = None,
        actions: Mapping[str, AnyAction] | None = None,
        audit: Sink | None = None,
    ) -> None:
        super().__init__(handlers, functions, host, outlook, actions, audit)
        self._adopters: dict[tuple[str, str], str] = {}
        """Which key has adopted an object since this began, by token and id: the object itself bears no mark of it."""

    @leavable
    def diff(self, token: str, stored: Stored, new: Given, work: Work | None = None) -> Plan:
        """What leads from `stored` to `new` (checked inputs). Needs no host; where there is one it may be asked.

        Warns through `work` of what a replacement takes away.
        """
        handler = self.handlers[token]
        return self._planned(handler, self._upgraded(handler, stored), new, work)

    @leavable
    def preview_update(
        self, token: str, stored: Stored, new: Given, work: Work, plan: Plan | None = None, *, defaults: bool = False
    ) -> Bag:
        """The state that an update would give, by the `plan` that `diff` gave, if it was asked.

        `defaults` has it say which become what, for an engine that does not.
        """
        handler = self.handlers[token]
        return self._foreseen(handler, self._upgraded(handler, stored), new, work, plan, defaults=defaults)

    def create(self, token: str, key: Key, inputs: Given, work: Work, *, adopt: bool = False) -> Result:
        """Make the object. Raises a JvpError when nothing was left behind.

        With `adopt` an object that is there already under the declared name is taken over: imported and updated.
        """
        about = partial(self._about, "create", self.handlers[token], inputs, name=key.label)
        return self._change(about, work, lambda work: self._made(token, key, inputs, work, adopt=adopt))

    def _made(self, token: str, key: Key, inputs: Given, work: Work, *, adopt: bool) -> Result:
        handler, bag = self.handlers[token], bags.bag_of(inputs)
        with self._guarded(bag, work=work) as work:
            self.host()  # before anything is made: what cannot be recorded would be lost
            try:
                return self._create(handler, key, inputs, work, patient=not adopt)
            except NameTaken as error:
                if not adopt or "name" not in bag or error.path[:1] not in ((), ("name",)):
                    raise
                if error.holder is not None and error.holder.is_declared_by(key):
                    # Two resources would share it, and the delete of one of them would take it from the other.
                    error.message += "; it is not adopted, for a resource of this program has it already"
                    if not error.holder.of(key):  # else no state may have it any more: the door says the way back
                        error.id = ""
                    raise
                return self._adopted(token, key, bag, work)

    def _adopted(self, token: str, key: Key, inputs: Bag, work: Work) -> Result:
        """What holds the declared name, changed to what is declared. Raises Rejected where only a new one could be."""
        handler = self.handlers[token]
        place, name = handler.place(inputs), inputs["name"]
        found = self.import_(token, place, work)
        if found is None:
            raise Busy(f'{handler.kind} "{place}" is gone again; run again')
        # Declared from now on, whole: what an import leaves as it is becomes what the program says, or its default.
        found = replace(found, private={name: value for name, value in found.private.items() if name == "host"})
        plan = self._plan(handler, found, inputs, work, looks=False)
        if plan.replaces:  # unless the host says that two references mean the same
            plan = self._plan(handler, found, inputs, work, looks=True)
        what = ", ".join(dotted(change.path) for change in plan.changes if change.effect is Effect.REPLACE)
        if what:
            raise Rejected(f'{handler.kind} "{name}" is there already and cannot be adopted: it differs in {what}')
        if self._adopters.setdefault((token, found.id), key.digest) != key.digest:
            raise Rejected(
                f'{handler.kind} "{name}" is not adopted, for another resource of this program has just done so'
            )
        work.warn(f'{handler.kind} "{name}" was there already and is adopted')
        audit.learn(work, id=found.id)
        return self.update(token, found, inputs, work, key)

    @leavable
    def read(self, token: str, stored: Stored, work: Work) -> Stored | None:
        """The object as it is now, in the spelling of `stored`; None when it is gone."""
        handler = self.handlers[token]
        with self._guarded(stored.inputs, stored.state, work=work) as work:
            found = self._read(handler, stored, work)
            if found is None:
                return None
            state, lacks = (found.state, found.reasons) if isinstance(found, Partial) else (found, ())
            stored = upgraded(handler.spec, stored)
            wanted = bags.wanted(handler, stored, stored.inputs)
            bag = bags.state_bag(handler, state, wanted.whole, stored.state)
            self._stand(handler, stored.id, bag, state, work, again=True)
            private = {**stored.private, **({"host": self.host()} if stored.private.get("host") else {})}
            if lacks:
                private["unfinished"] = list(dict.fromkeys([*stored.unfinished, *lacks]))
            if stored.private.get("unmanaged"):  # what nobody declares is as it is now
                wanted = bags.wanted(handler, replace(stored, state=bag), stored.inputs)
            return Stored(stored.id, declared(handler.spec, bag, stored.inputs, wanted.whole), bag, private)

    @leavable
    def import_(self, token: str, reference: str, work: Work) -> Stored | None:
        """An object that is there already, by id or name; None when there is none. Writes nothing."""
        handler = self.handlers[token]
        with self._guarded(work=work) as work:
            found = self._found(handler, reference, work)
            if found is None:
                return None
            object_id, bag = found
            inputs = {
                name: bag[name]
                for name, facts in fields(handler.spec).items()
                if bag.get(name) is not None and (facts.required or bag[name] != facts.default)
            }
            private = {**self._provenance(handler), "imported": True, "unmanaged": unmanaged(handler.spec, bag)}
            checked = self.check(token, inputs)
            if checked.failures:
                what = failures_text(checked.failures)
                raise Rejected(
                    f'{handler.kind} "{reference}" cannot be declared as it is, so it is not imported: {what}'
                )
            return Stored(object_id, checked.inputs, bag, private)

    def update(self, token: str, stored: Stored, new: Given, work: Work, key: Key | None = None) -> Result:
        """Apply what `diff` says. Raises a JvpError when the stored state still holds. The key says who declares it."""
        about = partial(self._about, "update", self.handlers[token], new, id=stored.id)
        return self._change(about, work, lambda work: self._updated(token, stored, new, work, key))

    def _updated(self, token: str, stored: Stored, new: Given, work: Work, key: Key | None) -> Result:
        handler, bag = self.handlers[token], bags.bag_of(new)
        work = replace(work, key=key, mark=borne(stored.id, stored.private, key))
        with self._guarded(stored.inputs, bag, work=work) as work:
            self._refuse_other_host(handler, stored, work)
            result = self._update(handler, upgraded(handler.spec, stored), new, work)
            found = result.stored
            left = unset(handler.spec, stored.private.get("unmanaged", ()), bag)
            kept = {"made": stored.private["made"]} if "made" in stored.private else {}
            kept |= {**noted(found.id, key, work.mark), **({"unmanaged": left} if left else {})}
            return Result(replace(found, private={**found.private, **kept}))

    def delete(self, token: str, stored: Stored, work: Work) -> None:
        """Remove the object. Missing is success."""
        handler = self.handlers[token]

        def delete(work: Work) -> None:
            with self._guarded(stored.inputs, stored.state, work=work) as work, self._going.leaves(token, stored.id):
                self._refuse_other_host(handler, stored, work)
                self._delete(handler, stored, work)
                self._adopters.pop((token, stored.id), None)

        name = stored.state.get(handler.named_by) or ""
        self._change(partial(self._about, "delete", handler, {}, id=stored.id, name=name), work, delete)

    @leavable
    def list(self, token: str, work: Work) -> Iterator[Listed]:
        """Every object of the kind on the host."""
        with self._guarded(work=work) as work:
            handler = self.handlers[token]
            every = [(found.id, handler.place(found.bag())) for found in handler.list(work)]
            return iter([Listed(sentence(object_id), sentence(name)) for object_id, name in every])

    def _upgraded(self, handler: AnyHandler, stored: Stored) -> Stored:
        """What an older version kept, as this one has it. Raises Rejected for what a newer one kept."""
        with self._guarded(stored.state, stored.inputs):
            refuse_newer(handler.spec, stored)
            return upgraded(handler.spec, stored)

    def _read(self, handler: AnyHandler, stored: Stored, work: Work) -> Any:
        """The object's state, None when it is gone. Raises OtherHost where it is not and never was.

        The same object may be there under another id of the host: libvirtd makes one up at each start where the
        machine has none of its own.
        """
        refuse_newer(handler.spec, stored)
        work = replace(work, mark=borne(stored.id, stored.private))
        prior = load(handler.state, stored.state) if stored.state else None
        if not self._is_elsewhere(stored):
            return handler.read(work, stored.id, prior)
        try:
            state = handler.read(work, stored.id, prior)
        except (NotFound, Rejected):  # what it stands on is not there
            state = None
        if state is None:
            raise OtherHost(
                f"this {handler.kind} is on the host {stored.private['host']}, and the provider's uri leads to the "
                f"host {self.host()}, where it is not; set the uri back, or delete the resource from the state if that "
                "host is no more"
            )
        return state

    def _refuse_other_host(self, handler: AnyHandler, stored: Stored, work: Work) -> None:
        refuse_newer(handler.spec, stored)
        if self._is_elsewhere(stored):
            self._read(handler, stored, work)

    def _is_elsewhere(self, stored: Stored) -> bool:
        recorded = stored.private.get("host")
        return bool(recorded) and recorded != self.host()
