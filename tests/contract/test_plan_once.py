"""What each door's request asks of the host: a plan looks once and sees the node once, and no other request plans so.

An update plans by what is stored. What it must know of the host it asks itself, before it writes.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.contract import kinds
from tests.contract.columns import Pulumi, Terraform
from tests.contract.conftest import Bench
from tests.contract.counted import counting
from tests.contract.kinds import KINDS, Kind

from jvp.core.work import Work
from jvp.doors.dynamic.reference import RESOURCE
from jvp.doors.dynamic.values import encode
from jvp.doors.dynamic.verbs import Verbs
from jvp.doors.pulumi.wire import encode as packed
from jvp.resources import registry

Bag = dict[str, Any]
STILL = [kind for kind in KINDS if kind.id != "running instance"]


@dataclass
class Watched:
    """How often each request had a handler look for a plan, and what libvirt was asked by it."""

    looks: list[str] = field(default_factory=list)
    requests: list[tuple[str, int, Counter[str]]] = field(default_factory=list)

    def request(self, call: Callable[..., Any], name: str = "") -> Callable[..., Any]:
        """A door's call, watched."""

        def watched(method: Any = None, *given: Any, **named: Any) -> Any:
            self.looks.clear()
            with counting() as asked:
                try:
                    return call(method, *given, **named)
                finally:
                    what = name or (f"{method}, preview" if named.get("preview") else str(method))
                    self.requests.append((what, len(self.looks), asked))

        return watched

    def looking(self) -> dict[str, int]:
        """How often the requests looked, by their names, without those that did not."""
        found = Counter[str]()
        for name, looks, _ in self.requests:
            found[name] += looks
        return dict(+found)


@pytest.fixture
def watched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Watched:
    found = Watched()
    for token in registry.TYPES:
        kind = type(bench.calls.handlers[token])

        def looked(*given: Any, look: Callable[..., Any] = kind.looked) -> Any:
            found.looks.append("looked")
            return look(*given)

        monkeypatch.setattr(kind, "looked", looked)
    return found


@contextlib.contextmanager
def pulumi(_: Bench, watched: Watched, folder: Path) -> Iterator[Any]:
    with contextlib.closing(Pulumi(folder)) as column:
        column._call = watched.request(column._call)  # type: ignore[method-assign]
        yield column


@contextlib.contextmanager
def terraform(_: Bench, watched: Watched, folder: Path) -> Iterator[Any]:
    with contextlib.closing(Terraform(folder)) as column:
        column._reply = watched.request(column._reply)  # type: ignore[method-assign]
        yield column


def up(column: Any, kind: Kind, raw: Bag) -> None:
    told = column.up(kind.token, "one", raw)
    assert told.action in ("create", "update"), told


def of_the_domain(asked: Counter[str]) -> tuple[int, int]:
    return asked["virDomainLookupByUUIDString"], asked["virDomainGetXMLDesc"]


@pytest.mark.parametrize("kind", STILL, ids=lambda kind: kind.id)
def test_pulumi(bench: Bench, kind: Kind, watched: Watched, run_folder: Path) -> None:
    raw = kind.minimal(bench, bench.name())
    with pulumi(bench, watched, run_folder) as column:
        up(column, kind, raw)
        watched.requests.clear()
        have, news = column._ready(kind.token, "one", kind.changed(raw))
        stored = {"id": have.id, "olds": packed(have.state), "old_inputs": packed(have.inputs), "news": packed(news)}
        for preview in (True, False):
            column._verb("Diff", kind.token, "one", **stored)
            column._verb("Update", kind.token, "one", preview=preview, **stored)
        assert watched.looking() == {"Diff": 2, "Update, preview": 1}
        if kind.token == "Instance":
            plans = [asked for name, looks, asked in watched.requests if looks]
            assert [of_the_domain(asked) for asked in plans] == [(1, 1)] * 3
        column.destroy("one")


@pytest.mark.parametrize("kind", STILL, ids=lambda kind: kind.id)
def test_terraform(bench: Bench, kind: Kind, watched: Watched, run_folder: Path) -> None:
    raw = kind.minimal(bench, bench.name())
    with terraform(bench, watched, run_folder) as column:
        up(column, kind, raw)
        assert watched.looking() == {}
        up(column, kind, kind.changed(raw))
        assert watched.looking() == {"PlanResourceChange": 1}
        if kind.token == "Instance":
            assert [of_the_domain(asked) for _, looks, asked in watched.requests if looks] == [(1, 1)]
        column.destroy("one")


@pytest.mark.parametrize("kind", STILL, ids=lambda kind: kind.id)
def test_the_dynamic_form(bench: Bench, kind: Kind, watched: Watched) -> None:
    name = bench.name()
    raw = kind.minimal(bench, name)
    verbs = Verbs(kind.token, {"jvp:virtType": "qemu"}.get, threading.Event())
    who = {
        RESOURCE: {"address": f"urn:pulumi:{bench.prefix}::plans::{kind.token}::{name}", "name": name, "secrets": []}
    }

    def call(verb: str, *given: Any) -> Any:
        return watched.request(getattr(verbs, verb), verb)(*given)

    before, after = (call("check", {**encode(one), **who}).inputs for one in (raw, kind.changed(raw)))
    made = call("create", before)
    assert call("diff", made.id, made.outs, after).changes
    outs = call("update", made.id, made.outs, after).outs
    found = call("read", made.id, outs)
    assert not call("diff", made.id, found.outs, after).changes
    call("delete", made.id, found.outs)
    assert watched.looking() == {"diff": 2}
    if kind.token == "Instance":
        assert [of_the_domain(asked) for _, looks, asked in watched.requests if looks] == [(1, 1)] * 2


@pytest.mark.parametrize(("token", "minimal", "looks"), [("Volume", kinds.volume, 0), ("Instance", kinds.stopped, 1)])
def test_an_adoption_looks_where_only_the_host_tells_what_a_reference_means(
    bench: Bench, token: str, minimal: Callable[[Bench, str], Bag], looks: int, watched: Watched
) -> None:
    """What was imported is known by the pool's name, and the program says its id."""
    raw = minimal(bench, bench.name())
    bench.create(token, "first", raw)
    key, inputs = bench.key(token, "adopted"), bench.inputs(token, raw)
    made = bench.calls.create(token, key, inputs, Work(), adopt=True).stored
    assert len(watched.looks) == looks
    bench.delete(token, made)
