"""The verbs of a plan, an apply and a read, over states as the host keeps them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jvp.core.check import Checked
from jvp.core.errors import NameTaken, NotFound
from jvp.core.facts import Effect
from jvp.core.handler import AnyHandler, AnyType
from jvp.core.model import fields
from jvp.core.outlook import Asked
from jvp.core.stored import Plan, Stored
from jvp.core.values import UNKNOWN, Bag
from jvp.core.work import Work
from jvp.doors.terraform import diagnostics, kept, moved, plan, writeonly
from jvp.doors.terraform.configured import Configured
from jvp.doors.terraform.protocol import Message
from jvp.doors.terraform.spelling import spoken
from jvp.doors.terraform.values import Raw

ASKED = ("timeouts", "adopt")
"""Attributes that the user of a resource sets and no model has; `adopt` where there is an object to adopt."""


def ours(handler: AnyType) -> tuple[str, ...]:
    """Attributes of a resource that no model has."""
    return ("id", "unfinished", *asked(handler))


def asked(handler: AnyType) -> tuple[str, ...]:
    """Those of them that its user sets."""
    return tuple(name for name in ASKED if name != "adopt" or not handler.stands_for)


def create(run: Configured, handler: AnyHandler, before: Stored, given: Bag, adopt: bool, work: Work) -> Stored:
    """Make the object. Raises NameTaken for a second resource of one name, too."""
    key, declared = run.key(handler, given), run.declared
    if not declared.take(key.digest):
        raise NameTaken(f'{handler.kind} "{key.label}" is declared twice, and is made already', path=("name",))
    try:
        inputs = run.calls.check(handler.token, given)
        made = run.calls.create(handler.token, key, inputs, work, adopt=adopt).stored
    except NameTaken as error:
        declared.drop(key.digest)
        raise diagnostics.taken(error, key) from None
    except BaseException:
        declared.drop(key.digest)
        raise
    declared.made(key.digest, made.id)
    return made


def update(run: Configured, handler: AnyHandler, before: Stored, given: Bag, adopt: bool, work: Work) -> Stored:
    """Change the object to what is `given`."""
    inputs = run.calls.check(handler.token, given)
    return run.calls.update(handler.token, before, inputs, work, run.key(handler, given)).stored


def delete(run: Configured, handler: AnyHandler, before: Stored, given: Bag, adopt: bool, work: Work) -> None:
    """Remove the object."""
    run.calls.delete(handler.token, before, work)


def read(run: Configured, handler: AnyHandler, raw: Raw, private: bytes, work: Work) -> Stored | None:
    """The object of a state as it is now. One that was moved here comes in as by an import."""
    if (reference := moved.reference_of(raw)) is not None:
        return imported(run, handler, reference, work)
    stored = kept.stored(handler, raw, private)
    run.declared.in_a_state(stored.id)
    return run.calls.read(handler.token, stored, work)


def imported(run: Configured, handler: AnyHandler, reference: str, work: Work) -> Stored:
    """An object that is there already. Raises NotFound."""
    found = run.calls.import_(handler.token, reference, work)
    if found is None:
        raise NotFound(f'there is no {handler.kind} "{reference}"')
    return found


def planned_create(run: Configured, handler: AnyHandler, config: Raw, inputs: Checked[Any], work: Work) -> Raw:
    """Every attribute of an object that is to be made."""
    adopt = run.adopts(config)
    asked = Asked(lambda: run.key(handler, inputs.inputs), adopt is not False, diagnostics.taken)
    preview = run.calls.preview_create(handler.token, inputs, work, asked)
    raw = plan.planned(handler.state, config, preview, {}, fields(handler.state))
    raw = writeonly.closed(handler.state, raw, config)
    return {**raw, "id": UNKNOWN, "unfinished": [], **_asked(handler, config)}


def planned_update(
    run: Configured,
    handler: AnyHandler,
    config: Raw,
    stored: Stored,
    inputs: Checked[Any],
    prior: Raw,
    work: Work,
) -> tuple[Raw, Plan]:
    """Every attribute of an object that is there, after the changes that lead to these inputs; and the changes."""
    found = run.calls.diff(handler.token, stored, inputs, work)
    # Where the last apply left something, this is a difference: else the host would not call us.
    ours = {"id": prior["id"], "unfinished": [], **_asked(handler, config)}
    changed = {str(change.path[0]) for change in found.changes}
    # An object that does not change stays as it was, with its versions.
    like = {**config, **writeonly.unchanged(handler.state, config, prior, changed)}
    if not changed and not stored.unfinished:
        spelled = plan.planned(handler.state, config, stored.state, prior, ())
        return {**writeonly.closed(handler.state, spelled, like), **ours}, found
    preview = run.calls.preview_update(handler.token, stored, inputs, work, found)
    spelled = plan.planned(handler.state, config, preview, prior, changed)
    raw = {**writeonly.closed(handler.state, spelled, like), **ours}
    # A change that no attribute shows, a disk that was taken out of its guest, is to be seen too.
    return ({**raw, "unfinished": UNKNOWN} if raw == prior else raw), found


def whole(handler: AnyHandler, found: Stored, promised: Raw) -> Raw:
    """Every attribute of a resource."""
    raw = writeonly.closed(handler.state, plan.kept(handler.state, found.state, promised), promised)
    unfinished = [spoken(reason, handler.spec) for reason in found.unfinished]
    return {**raw, "id": found.id, "unfinished": unfinished, **_asked(handler, promised)}


def having(handler: AnyHandler, stored: Stored, found: dict[writeonly.Place, Any]) -> Stored:
    """What a state would hold if it kept its write-only values."""
    state, inputs = (writeonly.filled(handler.spec, bag, found) for bag in (stored.state, stored.inputs))
    return replace(stored, state=state, inputs=inputs)


def replacing(handler: AnyHandler, changes: Plan) -> list[Message]:
    """Attributes whose change replaces. The host compares them one by one, so an item of a list stands for its list."""
    there = fields(handler.spec)
    names = {str(one.path[0]) for one in changes.changes if one.effect is Effect.REPLACE}
    return [diagnostics.step_path((there[name].attribute,)) for name in there if name in names]


def _asked(handler: AnyHandler, raw: Raw) -> Raw:
    return {name: raw.get(name) for name in asked(handler)}
