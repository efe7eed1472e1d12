"""The verbs over what is known of one object: bags in, bags out, over the typed handlers.

Here unknown values, secrets, spelling, defaults, the plan and unexpected errors are settled once, whoever knows the
object: an engine by its state (`core/calls.py`), or nobody but the object itself (`core/objects.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from jvp.core import audit, bags
from jvp.core.abandon import leavable, run
from jvp.core.action import AnyAction, perform
from jvp.core.again import asked_again
from jvp.core.audit import About, Audit, Sink
from jvp.core.bags import Given
from jvp.core.check import Checked, Failure, check, hide
from jvp.core.declaration import Declaration
from jvp.core.diff import consequences, defaulted, diff
from jvp.core.errors import Invalid, JvpError
from jvp.core.going import Going
from jvp.core.guard import guarded, said, shown
from jvp.core.handler import AnyFunction, AnyHandler, Outcome, Partial
from jvp.core.identity import Key, borne
from jvp.core.model import Spec, load
from jvp.core.outlook import Asked, Outlook
from jvp.core.ownership import refuse_foreign
from jvp.core.stored import Plan, Result, Stored
from jvp.core.types import reference as known_by
from jvp.core.values import Bag, reveal, secret_texts
from jvp.core.work import Work

T = TypeVar("T")


class Verbs:
    """The verbs over the handlers of one configured provider. Safe to use from many threads.

    `host` tells which host the handlers work on, by an id that stays whatever the way to it.
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
        self.handlers = handlers
        self.functions = functions
        self.actions = actions or {}
        self.secrets: set[str] = set()
        """Texts of the provider's own settings that nobody may see: a uri with a password."""
        self.host = host
        self.outlook = outlook or Outlook()
        self.audit = Audit(audit)
        self._going = Going()

    def check(self, token: str, raw: Bag) -> Checked[Any]:
        """Offline validation. What other calls take as inputs is what it gives as such: what was set."""
        return check(self.handlers[token].spec, raw)

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
    @asked_again
    def invoke(self, token: str, raw: Bag, work: Work) -> tuple[Bag | None, tuple[Failure, ...]]:
        """A function's result; or None and the failures of its arguments."""
        function = self.functions[token]
        checked = check(function.args, raw)
        if checked.spec is None:
            return None, checked.failures
        with self._guarded(raw, checked.inputs, work=work) as work:
            result: Spec = function.call(work, checked.spec)
            return hide(shown(result.bag(), raw), set(), function.result), ()

    def act(
        self,
        token: str,
        reference: str,
        raw: Bag,
        work: Work,
        *,
        request_id: str | None = None,
        force: bool = False,
    ) -> Bag:
        """Have an action done to the object of an id or name; what it answers.

        Raises Invalid for arguments that break a rule; Rejected where the object is not one to act on without `force`.
        Again: yes, with the same `request_id` where the action is not idempotent.
        """
        action = self.actions[token]
        handler = self.handlers[action.on]

        def act(work: Work) -> Bag:
            checked = check(action.args, raw).sound()
            with self._guarded(raw, checked.inputs, work=work) as work:
                refuse_id(reference)
                object_id = handler.find(work, reference)
                audit.learn(work, id=object_id)
                if not force and not action.local:
                    self._refuse_others(handler, work, object_id, reference)
                result: Spec = perform(action, work, object_id, checked.spec, request_id)
                return hide(shown(result.bag(), raw), set(), action.result)

        about = partial(self._about, action.word, handler, raw, name=reference, model=action.args)
        return self._change(about, work, act)

    @leavable
    def foreseen(self, token: str, reference: str, raw: Bag, work: Work) -> list[str]:
        """What an act would do, in sentences, from a look at the object. Raises Invalid, NotFound."""
        action = self.actions[token]
        checked = check(action.args, raw).sound()
        with self._guarded(raw, checked.inputs, work=work) as work:
            meant, object_id, _ = action.meant(work, self.handlers[action.on].find(work, reference), checked.spec)
            said = [action.effect]
            with contextlib.suppress(JvpError):
                said += meant.foreseen(work, object_id)
            return said

    def _refuse_others(self, handler: AnyHandler, work: Work, object_id: str, reference: str) -> None:
        """Raise Rejected for an object that is not to be acted on unasked. An engine's program names what it means."""
        refuse_foreign(handler, work, object_id, reference)

    # What may change something

    def _change(self, about: Callable[[], About], work: Work, call: Callable[[Work], T]) -> T:
        """What `call` returns. The audit is told of it, and it is left behind when it hangs."""
        return self.audit.run(about, work, lambda work: run(work, lambda: call(work)))

    def _about(
        self,
        verb: str,
        handler: AnyHandler,
        given: Given,
        *,
        id: str = "",
        name: object = "",
        model: type[Spec] | None = None,
    ) -> About:
        """What the audit is told of a call at its begin. `given` are properties of the `model`, by default the kind's.

        What bears no name of its own among them is known by `name`.
        """
        bag = bags.bag_of(given)
        if model is None:
            model, name = handler.spec, bag.get(handler.named_by) or name
        secrets = self.secrets | secret_texts(hide(bag, set(), model))
        return About(verb, handler.token, id, name, audit.names(model, bag), secrets)

    # Over what is known of one object

    def _plan(self, handler: AnyHandler, known: Stored, new: Given, work: Work | None, *, looks: bool) -> Plan:
        """What leads to `new` by what is known. It `looks` at the host as well for who is told the plan."""
        with self._guarded(known.state, bags.bag_of(new), work=work) as work:
            wanted = bags.wanted(handler, known, new).sound()
            changes = diff(handler.spec, known.state, known.inputs, wanted.whole, imported=known.imported)
            prior, bag = load(handler.state, known.state), reveal(wanted.whole)
            found = handler.looked(work, changes, prior, bag) if looks else handler.effects(changes, prior, bag)
            return Plan(tuple(found), wanted, prior)

    def _planned(self, handler: AnyHandler, known: Stored, new: Given, work: Work | None) -> Plan:
        """The plan that is shown. Warns of what waits in the object, and of what a replacement takes away."""
        plan = self._plan(handler, known, new, work, looks=True)
        (self.outlook.plans.move if plan.changes else self.outlook.plans.stay)(known.id)
        if work is not None:
            self._stand(handler, known.id, known.state, plan.prior, work, again=False)
        if plan.replaces and work is not None:
            self._warn_of_replacement(handler, known.state, plan.prior, work)
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

    def _foreseen(
        self, handler: AnyHandler, known: Stored, new: Given, work: Work, plan: Plan | None, *, defaults: bool
    ) -> Bag:
        """The state that an update would give. Warns of what its changes do beside what an engine's display says."""
        plan = plan or self._plan(handler, known, new, work, looks=True)
        bag = bags.bag_of(new)
        with self._guarded(known.state, bag, work=work) as work:
            for line in (*consequences(plan.changes), *(defaulted(plan.changes, bag) if defaults else ())):
                work.warn(line)
        return bags.to_update(handler, known, plan, bag, work, self.secrets)

    def _create(self, handler: AnyHandler, key: Key, inputs: Given, work: Work, *, patient: bool = True) -> Result:
        """Make the object. Without `patient` a taken name is waited for only while its holder is being deleted."""
        wanted = bags.to_apply(bags.checked(handler, inputs))
        spec = wanted.spec
        work = replace(work, declaration=Declaration.of(handler.spec, wanted.inputs, wanted.whole, key.digest))
        outcome = self._going.wait(work, handler.token, lambda: handler.create(work, key, spec), patient=patient)
        number = key.generation_of(outcome.id)
        made = {} if number is None else {"made": [key.digest, number]}
        return self._result(handler, outcome, bags.bag_of(inputs), wanted, made)

    def _found(self, handler: AnyHandler, reference: str, work: Work) -> tuple[str, Bag] | None:
        """The id and the state of an object by its id or name; None when there is none. Writes nothing."""
        refuse_id(reference)
        object_id = handler.find(work, reference)
        found = handler.read(work, object_id, None)
        if found is None:
            return None
        state = found.state if isinstance(found, Partial) else found
        return object_id, bags.state_bag(handler, state, {}, {})

    def _update(
        self, handler: AnyHandler, known: Stored, new: Given, work: Work, declaration: Declaration | None = None
    ) -> Result:
        """Apply what a plan says. The object's mark is told the `declaration`; by default all that is set."""
        checked = bags.checked(handler, new)
        plan = self._plan(handler, known, checked, work, looks=False)
        audit.learn(work, changed=tuple(dict.fromkeys(audit.name_of(handler.spec, one.path) for one in plan.changes)))
        spec = bags.to_apply(plan.wanted).spec
        if declaration is None:
            # What the create salted by, as far as that is known.
            identity = (work.mark and work.mark.key) or (work.key and work.key.digest) or known.id
            declaration = Declaration.of(handler.spec, checked.inputs, plan.wanted.whole, identity)
        work = replace(work, declaration=declaration)
        outcome = self._going.wait(
            work, handler.token, lambda: handler.update(work, known.id, plan.prior, spec, plan.changes)
        )
        return self._result(handler, outcome, bags.bag_of(new), checked, {}, known.state)

    def _delete(self, handler: AnyHandler, known: Stored, work: Work) -> None:
        """Remove the object. Missing is success."""
        work = replace(work, mark=borne(known.id, known.private))
        handler.delete(work, known.id, load(handler.state, known.state) if known.state else None)

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

    def _provenance(self, handler: AnyHandler) -> Bag:
        """What is recorded with every object."""
        host = self.host()
        return {"schema": handler.spec.schema_version, **({"host": host} if host else {})}

    def _guarded(self, *bags: Bag, work: Work | None = None) -> contextlib.AbstractContextManager[Work]:
        """`guarded` with the secrets of these bags and of the settings."""
        return guarded(self.secrets, *bags, work=work)


def refuse_id(text: str) -> None:
    """Raise Invalid for what can be the id or name of nothing."""
    try:
        known_by(text)
    except ValueError as error:
        raise Invalid(str(error), path=("id",)) from None
