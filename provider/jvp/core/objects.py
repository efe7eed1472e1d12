"""One object's bags: what a program wants of it, what a plan foresees of it, and its state as it is kept."""

from __future__ import annotations

import contextlib
from typing import Any

from jvp.core.abandon import run
from jvp.core.check import Checked, hide
from jvp.core.diff import Change, completed, respelled
from jvp.core.errors import JvpError
from jvp.core.guard import guarded, own_texts
from jvp.core.handler import AnyHandler
from jvp.core.model import Spec, fields, load
from jvp.core.stored import Stored
from jvp.core.text import harmless_value
from jvp.core.values import UNKNOWN, Bag, reveal, secret_paths, secret_paths_in
from jvp.core.wanted import filled
from jvp.core.work import Work


def wanted(handler: AnyHandler, stored: Stored, inputs: Bag) -> Checked[Any]:
    """What a program wants of an object that is there: `inputs` with what they leave out."""
    return filled(handler.spec, inputs, stored.private.get("unmanaged", ()), stored.state)


def to_create(handler: AnyHandler, whole: Bag, work: Work, settings: set[str]) -> Bag:
    """The state that a create of `whole` inputs would give, UNKNOWN where only the host will tell."""
    ours = (name for name, facts in fields(handler.state).items() if facts.output or facts.computed)
    bag: Bag = dict.fromkeys(ours, UNKNOWN)
    bag |= harmless_value(_predicted(handler, whole, None, work, settings), own_texts(whole))
    return hide({**bag, **completed(handler.spec, reveal(whole), {})}, secret_paths(whole), handler.state)


def to_update(
    handler: AnyHandler, stored: Stored, new: Bag, changes: tuple[Change, ...], work: Work, settings: set[str]
) -> Bag:
    """The state that an update by these changes would give."""
    changed = {str(change.path[0]) for change in changes}
    whole = wanted(handler, stored, new).sound().whole
    bag: Bag = {}
    for name, facts in fields(handler.state).items():
        if facts.output is not None:
            # What is not finished may move whatever can.
            moved = facts.output.follows if stored.unfinished else changed.intersection(facts.output.follows)
            bag[name] = UNKNOWN if moved else stored.state.get(name)
        elif facts.computed and name not in whole:
            bag[name] = stored.state.get(name)
    bag |= _predicted(handler, whole, load(handler.state, stored.state), work, settings)
    bag = harmless_value(bag, own_texts(stored.inputs, new))
    chosen = completed(handler.spec, reveal(whole), reveal(stored.state))
    return hide({**bag, **chosen}, secret_paths(whole), handler.state)


def _predicted(handler: AnyHandler, whole: Bag, prior: Any, work: Work, settings: set[str]) -> Bag:
    with guarded(settings, whole, work=work) as work:
        spec = handler.spec.model_validate(reveal(whole))
        with contextlib.suppress(JvpError):
            run(work, lambda: _warn(handler, spec, prior, work))
        return handler.predict(spec, prior)


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
    bag = harmless_value(bag, own_texts(inputs))
    for name, facts in fields(handler.spec).items():
        if facts.write_only and name in ours:
            bag[name] = ours[name]
    return hide(bag, secret_paths_in(bag, known), handler.state)
