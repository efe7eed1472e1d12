"""The calls that every door makes: bags in, bags out, over the typed handlers.

Here unknown values, secrets, spelling, defaults, the plan and unexpected errors are settled once. A door turns
its wire into bags and back, and adds nothing of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from jvp.core import bags
from jvp.core.abandon import leavable
from jvp.core.bags import Given
from jvp.core.check import Checked, Failure, check, failures_text, hide
from jvp.core.diff import consequences, declared, defaulted, diff
from jvp.core.errors import Busy, Invalid, JvpError, NameTaken, NotFound, OtherHost, Rejected, dotted
from jvp.core.facts import Effect
from jvp.core.going import Going
from jvp.core.guard import guarded, said, shown
from jvp.core.handler import AnyFunction, AnyHandler, Listed, Outcome, Partial
from jvp.core.identity import Key, borne, noted
from jvp.core.model import Spec, fields, load
from jvp.core.outlook import Asked, Outlook
from jvp.core.stored import Plan, Result, Stored, refuse_newer, upgraded
from jvp.core.text import sentence
from jvp.core.types import reference as known_by
from jvp.core.values import Bag, reveal, secret_texts
from jvp.core.wanted import unmanaged, unset
from jvp.core.work import Work


class Calls:
    """The verbs over the handlers of one configured provider. Safe to use from many threads.

    `host` tells which host the handlers work on, by an id that stays whatever the way to it. An object is recorded
    with it: on another host a look-up would say "gone" of what is still there.
    """

    def __init__(
        self,
        handlers: Mapping[str, AnyHandler],
        functions: Mapping[str, AnyFunction],
        host: Callable[[], str] = lambda: "",
        outlook: Outlook | None = None,
    ) -> None:
        self.handlers = handlers
        self.functions = functions
        self.secrets: set[str] = set()
        """Texts of the provider's own settings that nobody may see: a uri with a password."""
        self.host = host
        self._going = Going()
        self.outlook = outlook or Outlook()
        self._adopters: dict[tuple[str, str], str] = {}
        """Which key has adopted an object since this began, by token and id: the object itself bears no mark of it."""

    def check(self, token: str, raw: Bag) -> Checked[Any]:
        """Offline validation. What other calls take as inputs is what it gives as such: what was set."""
        return check(self.handlers[token].spec, raw)

    @leavable
    def diff(self, token: str, stored: Stored, new: Given, work: Work | None = None) -> Plan:
        """What leads from `stored` to `new` (checked inputs). Needs no host; where there is one it may be asked.

        Warns through `work` of what a replacement takes away.
        """
        plan = self._plan(token, stored, new, work, looks=True)
        (self.outlook.plans.move if plan.changes else self.outlook.plans.stay)(stored.id)
        if work is not None:
            self._stand(self.handlers[token], stored.id, stored.state, plan.prior, work, again=False)
        if plan.replaces and work is not None:
            self._warn_of_replacement(self.handlers[token], stored.state, plan.prior, work)
        return plan

    def _stand(self, handler: AnyHandler, object_id: str, state: Bag, loaded: Any, work: Work, *, again: bool) -> None:
        with contextlib.suppress(JvpError), self._guarded(state, work=work) as work:
            self.outlook.standing(work, object_id, handler.standing(loaded), again=again)

    def _warn_of_replacement(self, handler: AnyHandler, state: Bag, loaded: Any, work: Work) -> None:
        with contextlib.suppress(JvpError), self._guarded(state, work=work) as work:
            if state.get("state") == "running":
                work.warn(f'{handler.kind} "{reveal(state)["name"]}" is running; it is deleted and made anew')
            for line in handler.replacement_warnings(work, loaded):
                work.warn(line)

    def _plan(self, token: str, stored: Stored, new: Given, work: Work | None = None, *, looks: bool = False) -> Plan:
        handler = self.handlers[token]
        with self._guarded(stored.state, bags.bag_of(new), work=work) as work:
            refuse_newer(handler.spec, stored)
            stored, wanted = upgraded(handler.spec, stored), bags.wanted(handler, stored, new).sound()
            changes = diff(handler.spec, stored.state, stored.inputs, wanted.whole, imported=stored.imported)
            prior, bag = load(handler.state, stored.state), reveal(wanted.whole)
            found = tuple(handler.effects(changes, prior, bag))
            return Plan(tuple(handler.looked(work, found, prior, bag)) if looks else found, wanted, prior)

    def preview_create(self, token: str, inputs: Given, work: Work, asked: Asked | None = None) -> Bag:
        """The state that a create would give, UNKNOWN where only the host will tell.

        Warns of why the create that is `asked` for would fail as the host is now.
        """
        handler = self.handlers[token]
        wanted = bags.checked(handler, inputs).sound()
        if asked is not None:
            with contextlib.suppress(JvpError), self._guarded(wanted.whole, work=work) as warned:
                spec, key = wanted.spec, asked.key
                self.outlook.obstacles(warned, asked, lambda brief: handler.obstacles(brief, spec, key))
        return bags.to_create(handler, wanted, work, self.secrets)

    @leavable
    def preview_update(
        self, token: str, stored: Stored, new: Given, work: Work, plan: Plan | None = None, *, defaults: bool = False
    ) -> Bag:
        """The state that an update would give, by the `plan` that `diff` gave, if it was asked.

        `defaults` has it say which become what, for an engine that does not.
        """
        handler = self.handlers[token]
        plan = plan or self._plan(token, stored, new, work, looks=True)
        bag = bags.bag_of(new)
        with self._guarded(stored.state, bag, work=work) as work:
            for line in (*consequences(plan.changes), *(defaulted(plan.changes, bag) if defaults else ())):
                work.warn(line)
        return bags.to_update(handler, stored, plan, bag, work, self.secrets)

    @leavable
    def create(self, token: str, key: Key, inputs: Given, work: Work, *, adopt: bool = False) -> Result:
        """Make the object. Raises a JvpError when nothing was left behind.

        With `adopt` an object that is there already under the declared name is taken over: imported and updated.
        """
        handler, bag = self.handlers[token], bags.bag_of(inputs)
        with self._guarded(bag, work=work) as work:
            self.host()  # before anything is made: what cannot be recorded would be lost
            try:
                wanted = bags.to_apply(bags.checked(handler, inputs))
                spec = wanted.spec
                outcome = self._going.wait(work, token, lambda: handler.create(work, key, spec), patient=not adopt)
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
            number = key.generation_of(outcome.id)
            made = {} if number is None else {"made": [key.digest, number]}
            return self._result(handler, outcome, bag, wanted, made)

    def _adopted(self, token: str, key: Key, inputs: Bag, work: Work) -> Result:
        """What holds the declared name, changed to what is declared. Raises Rejected where only a new one could be."""
        handler = self.handlers[token]
        place, name = handler.place(inputs), inputs["name"]
        found = self.import_(token, place, work)
        if found is None:
            raise Busy(f'{handler.kind} "{place}" is gone again; run again')
        # Declared from now on, whole: what an import leaves as it is becomes what the program says, or its default.
        found = replace(found, private={name: value for name, value in found.private.items() if name == "host"})
        changes = self._plan(token, found, inputs).changes
        what = ", ".join(dotted(change.path) for change in changes if change.effect is Effect.REPLACE)
        if what:
            raise Rejected(f'{handler.kind} "{name}" is there already and cannot be adopted: it differs in {what}')
        if self._adopters.setdefault((token, found.id), key.digest) != key.digest:
            raise Rejected(
                f'{handler.kind} "{name}" is not adopted, for another resource of this program has just done so'
            )
        work.warn(f'{handler.kind} "{name}" was there already and is adopted')
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
            _refuse_id(reference)
            object_id = handler.find(work, reference)
            found = handler.read(work, object_id, None)
            if found is None:
                return None
            state = found.state if isinstance(found, Partial) else found
            bag = bags.state_bag(handler, state, {}, {})
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

    @leavable
    def update(self, token: str, stored: Stored, new: Given, work: Work, key: Key | None = None) -> Result:
        """Apply what `diff` says. Raises a JvpError when the stored state still holds. The key says who declares it."""
        handler, bag = self.handlers[token], bags.bag_of(new)
        work = replace(work, key=key, mark=borne(stored.id, stored.private, key))
        with self._guarded(stored.inputs, bag, work=work) as work:
            self._refuse_other_host(handler, stored, work)
            checked = bags.checked(handler, new)
            plan = self._plan(token, stored, checked)
            spec = bags.to_apply(plan.wanted).spec
            outcome = self._going.wait(
                work, token, lambda: handler.update(work, stored.id, plan.prior, spec, plan.changes)
            )
            left = unset(handler.spec, stored.private.get("unmanaged", ()), bag)
            kept = {"made": stored.private["made"]} if "made" in stored.private else {}
            private = {**kept, **noted(outcome.id, key, work.mark), **({"unmanaged": left} if left else {})}
            return self._result(handler, outcome, bag, checked, private, stored.state)

    @leavable
    def delete(self, token: str, stored: Stored, work: Work) -> None:
        """Remove the object. Missing is success."""
        handler = self.handlers[token]
        with self._guarded(stored.inputs, stored.state, work=work) as work, self._going.leaves(token, stored.id):
            self._refuse_other_host(handler, stored, work)
            work = replace(work, mark=borne(stored.id, stored.private))
            handler.delete(work, stored.id, load(handler.state, stored.state) if stored.state else None)
            self._adopters.pop((token, stored.id), None)

    @leavable
    def list(self, token: str, work: Work) -> Iterator[Listed]:
        """Every object of the kind on the host."""
        with self._guarded(work=work) as work:
            every = self.handlers[token].list(work)
            return iter([Listed(sentence(found.id), sentence(found.name)) for found in every])

    @leavable
    def invoke(self, token: str, raw: Bag, work: Work) -> tuple[Bag | None, tuple[Failure, ...]]:
        """A function's result; or None and the failures of its arguments."""
        function = self.functions[token]
        checked = check(function.args, raw)
        if checked.spec is None:
            return None, checked.failures
        with self._guarded(raw, checked.inputs, work=work) as work:
            result: Spec = function.call(work, checked.spec)
            return hide(shown(result.bag(), raw), set(), function.result), ()

    def _guarded(self, *bags: Bag, work: Work | None = None) -> contextlib.AbstractContextManager[Work]:
        """`guarded` with the secrets of these bags and of the settings."""
        return guarded(self.secrets, *bags, work=work)

    def _provenance(self, handler: AnyHandler) -> Bag:
        """What is recorded with every object."""
        host = self.host()
        return {"schema": handler.spec.schema_version, **({"host": host} if host else {})}

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

    def _result(
        self,
        handler: AnyHandler,
        outcome: Outcome[Any],
        inputs: Bag,
        checked: Checked[Any],
        private: Bag,
        prior: Bag | None = None,
    ) -> Result:
        bag = bags.state_bag(handler, outcome.state, checked.whole, prior or {}, written=True)
        private = {**self._provenance(handler), **private}
        if isinstance(outcome, Partial):
            secrets = self.secrets | secret_texts(inputs)
            private["unfinished"] = [said(reason, secrets) for reason in outcome.reasons]
        return Result(Stored(outcome.id, inputs, bag, private))


def _refuse_id(text: str) -> None:
    """Raise Invalid for what can be the id or name of nothing."""
    try:
        known_by(text)
    except ValueError as error:
        raise Invalid(str(error), path=("id",)) from None
