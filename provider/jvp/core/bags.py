"""One object's bags: what a program wants of it, what a plan foresees of it, and its state as it is kept."""

from __future__ import annotations

import contextlib
from typing import Any

from jvp.core.abandon import run
from jvp.core.check import Checked, check, hide, veiled
from jvp.core.diff import completed, respelled
from jvp.core.errors import Bug, JvpError
from jvp.core.guard import guarded, shown
from jvp.core.handler import AnyHandler
from jvp.core.model import Spec, fields
from jvp.core.stored import Plan, Stored
from jvp.core.values import UNKNOWN, Bag, has_unknown, reveal, secret_paths
from jvp.core.wanted import filled, unset
from jvp.core.work import Work

Given = Bag | Checked[Any]
"""What a program declares: its properties, or what a check of them gave within the same call."""


def bag_of(given: Given) -> Bag:
    """What was set."""
    return given.inputs if isinstance(given, Checked) else given


def checked(handler: AnyHandler, given: Given) -> Checked[Any]:
    """What is given, checked once."""
    return given if isinstance(given, Checked) else check(handler.spec, given)


def wanted(handler: AnyHandler, stored: Stored, given: Given) -> Checked[Any]:
    """What a program wants of an object that is there: what is given, with what it leaves out."""
    places = unset(handler.spec, stored.private.get("unmanaged", ()), bag_of(given))
    return filled(handler.spec, bag_of(given), places, stored.state) if places else checked(handler, given)


def to_apply(found: Checked[Any]) -> Checked[Any]:
    """The same, to be made so. Raises Invalid for what breaks a rule."""
    if has_unknown(found.whole):
        raise Bug("an unknown value reached an apply")
    return found.sound()


def to_create(handler: AnyHandler, wants: Checked[Any], work: Work, settings: set[str]) -> Bag:
    """The state that a create would give, UNKNOWN where only the host will tell."""
    whole = wants.whole
    ours = (name for name, facts in fields(handler.state).items() if facts.output or facts.computed)
    bag: Bag = dict.fromkeys(ours, UNKNOWN)
    bag |= shown(_predicted(handler, wants, None, work, settings), whole)
    return hide({**bag, **completed(handler.spec, reveal(whole), {})}, secret_paths(whole), handler.state)


def to_update(handler: AnyHandler, stored: Stored, plan: Plan, new: Bag, work: Work, settings: set[str]) -> Bag:
    """The state that an update by this plan would give; `new` is what the program sets."""
    changed = {str(change.path[0]) for change in plan.changes}
    whole = plan.wanted.whole
    bag: Bag = {}
    for name, facts in fields(handler.state).items():
        if facts.output is not None:
            # What is not finished may move whatever can.
            moved = facts.output.follows if stored.unfinished else changed.intersection(facts.output.follows)
            bag[name] = UNKNOWN if moved else stored.state.get(name)
        elif facts.computed and name not in whole:
            bag[name] = stored.state.get(name)
    bag |= _predicted(handler, plan.wanted, plan.prior, work, settings)
    bag = shown(bag, stored.inputs, new)
    chosen = completed(handler.spec, reveal(whole), reveal(stored.state))
    return hide({**bag, **chosen}, secret_paths(whole), handler.state)


def _predicted(handler: AnyHandler, wants: Checked[Any], prior: Any, work: Work, settings: set[str]) -> Bag:
    with guarded(settings, wants.whole, work=work) as work:
        with contextlib.suppress(JvpError):
            run(work, lambda: _warn(handler, wants.spec, prior, work))
        return handler.predict(wants.spec, prior)


def _warn(handler: AnyHandler, spec: Any, prior: Any, work: Work) -> None:
    for line in handler.warnings(work, spec, prior):
        work.warn(line)


def state_bag(handler: AnyHandler, state: Spec, inputs: Bag, prior: Bag, *, written: bool = False) -> Bag:
    """A state as it is stored: respelled, with what only we know, and with Secrets where they belong.

    `written` says that `inputs` are what the object has now: what was taken out of them is no longer known.
    """
    known = {**prior, **inputs}
    ours = inputs if written else known
    bag = respelled(handler.state, state.bag(), reveal(known))
    bag = shown(bag, inputs)
    for name, facts in fields(handler.spec).items():
        if facts.write_only and name in ours:
            bag[name] = ours[name]
    return veiled(handler.state, bag, known)
