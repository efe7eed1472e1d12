"""The audit over all that is registered: each call that may change something is told, and no secret with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jvp.core.audit import Caller, Entry
from jvp.core.errors import JvpError
from jvp.core.facts import Derived
from jvp.core.identity import DeclaredBy, Key
from jvp.core.model import Spec, fields
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.resources import registry
from jvp.resources.provider import Provider

SENTINEL = "never-to-be-told"
NOWHERE = Provider(uri="qemu+unix:///system?socket=/nowhere", virt_type="qemu")
CALLER = Caller("uid 7 (anna)", "cli")


def full(model: type[Spec]) -> dict[str, Any]:
    """Something in each property; the sentinel in what is secret, write-only, or a map of the user's own."""
    return {
        name: _value(facts) for name, facts in fields(model).items() if facts.output is None and not facts.fact(Derived)
    }


def _value(facts: Any) -> Any:
    if facts.item is not None:
        item = full(facts.item)
        return [item] if facts.is_list else {SENTINEL: item} if facts.is_map else item
    if facts.is_map:
        return {SENTINEL: SENTINEL}
    text = SENTINEL if facts.sensitive or facts.write_only else "a"
    return [text] if facts.is_list else text


def told(sink: list[Entry], call: Callable[[], object]) -> Entry:
    """The entry of a call that fails."""
    sink.clear()
    with pytest.raises(JvpError):
        call()
    begun, ended = sink
    assert (begun.outcome, ended.outcome, begun.call) == ("begun", "failed", ended.call)
    assert ended.caller == CALLER
    assert ended.detail
    assert SENTINEL not in str(sink)
    return ended


@pytest.mark.parametrize("token", registry.RESOURCES)
def test_every_verb_of_every_kind_is_told(token: str) -> None:
    sink: list[Entry] = []
    calls, objects = registry.calls(NOWHERE), registry.objects(NOWHERE)
    calls.audit.sink = objects.audit.sink = sink.append
    raw = full(calls.handlers[token].spec)
    state = Stored("8c1e6b2e-0c5b-4c0e-9f0a-0e9b1c5d7a11", raw, raw)
    key, by = Key("", token, "one", "one"), DeclaredBy("cli")

    def work() -> Work:
        return Work(caller=CALLER)

    for verb, call in (
        ("create", lambda: calls.create(token, key, raw, work())),
        ("update", lambda: calls.update(token, state, raw, work(), key)),
    ):
        entry = told(sink, call)
        assert (entry.verb, entry.kind) == (verb, token)
        assert {name.partition(".")[0] for name in entry.properties} == {*raw}
    if token not in registry.TYPES:
        return
    entry = told(sink, lambda: calls.delete(token, state, work()))
    assert (entry.verb, entry.kind, entry.id) == ("delete", token, state.id)
    entry = told(sink, lambda: objects.apply(token, raw, work(), by=by))
    assert (entry.verb, entry.kind) == ("apply", token)
    entry = told(sink, lambda: objects.delete(token, "web", work()))
    assert (entry.verb, entry.kind, entry.name) == ("delete", token, "web")
    sink.clear()
    for call in (
        lambda: calls.preview_create(token, raw, work()), lambda: calls.diff(token, state, raw, work()),
        lambda: calls.read(token, state, work()), lambda: calls.import_(token, "web", work()),
        lambda: objects.plan(token, None, raw, work()), lambda: objects.get(token, "web", work()),
    ):  # fmt: skip
        with pytest.raises(JvpError):
            call()
    assert sink == []


@pytest.mark.parametrize("name", registry.ACTIONS)
def test_every_action_is_told(name: str) -> None:
    sink: list[Entry] = []
    objects, action = registry.objects(NOWHERE), registry.ACTIONS[name]
    objects.audit.sink = sink.append
    entry = told(sink, lambda: objects.act(name, "web", {}, Work(caller=CALLER)))
    assert (entry.verb, entry.kind, entry.name) == (action.word, action.on, "web")
