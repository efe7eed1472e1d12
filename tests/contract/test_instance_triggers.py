"""`restartTriggers`: a change restarts the guest once, and whoever dies meanwhile restarts it no second time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from tests.contract.conftest import Bench, domain_of
from tests.contract.kinds import running
from tests.extent import sample

from jvp.core.errors import dotted
from jvp.core.facts import Effect
from jvp.core.identity import DeclaredBy
from jvp.core.objects import Objects
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.domain import guest
from jvp.resources import registry
from jvp.resources.instance import restarting
from jvp.resources.provider import Provider

Bag = dict[str, Any]
A, B = {"word": "a"}, {"word": "b"}


def bare(bench: Bench, stem: str, **given: Any) -> Bag:
    raw = running(bench, bench.name(stem)) | given
    return {name: value for name, value in raw.items() if name not in ("disks", "nics", "cloudInit")}


def run(bench: Bench, stored: Stored) -> int:
    return int(domain_of(bench, stored).ID())


def planned(bench: Bench, stored: Stored, raw: Bag) -> list[tuple[str, Effect, str]]:
    changes = bench.calls.diff("Instance", stored, bench.inputs("Instance", raw)).changes
    return [(dotted(one.path), one.effect, one.note) for one in changes]


def test_each_change_restarts_once(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = bare(bench, "each", restartTriggers=A)
    stored = made(raw)
    first = run(bench, stored)
    assert bench.plan("Instance", stored, raw) == []
    runs = [first]
    for triggers, restarts in ((B, True), (A, True), (B, True), (None, False), (B, True), ({**B, "other": "c"}, True)):
        new = {**raw, "restartTriggers": triggers} if triggers else bare(bench, "") | {"name": raw["name"]}
        effect = Effect.POWER_OFF if restarts else Effect.LIVE
        assert planned(bench, stored, new) == [("restartTriggers", effect, "")]
        stored = bench.update("Instance", stored, new).stored
        assert (run(bench, stored) > runs[-1]) is restarts, triggers
        runs.append(run(bench, stored))
        stored = bench.converged("Instance", stored, new)
        bench.update("Instance", stored, {**new, "autostart": len(runs) % 2 == 0})  # of itself it restarts nothing
        assert run(bench, stored) == runs[-1]
        stored = bench.update("Instance", stored, new).stored
    assert run(bench, stored) == runs[-1]


def test_one_that_does_not_run_is_not_restarted(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    raw = bare(bench, "halted", powerState="paused")
    stored = made(raw)
    before = run(bench, stored)
    halted = "the guest is paused, and is not restarted"
    assert planned(bench, stored, {**raw, "restartTriggers": A}) == [("restartTriggers", Effect.LIVE, halted)]
    stored = bench.update("Instance", stored, {**raw, "restartTriggers": A}).stored
    assert run(bench, stored) == before
    raw |= {"powerState": "running", "restartTriggers": B}
    stored = bench.update("Instance", stored, raw).stored  # it goes on, and then
    assert run(bench, stored) > before
    raw |= {"powerState": "stopped", "restartTriggers": A}
    stored = bench.update("Instance", stored, raw).stored
    assert not domain_of(bench, stored).isActive()
    raw |= {"restartTriggers": B}
    assert planned(bench, stored, raw) == [("restartTriggers", Effect.LIVE, "")]
    stored = bench.update("Instance", stored, raw).stored
    assert not domain_of(bench, stored).isActive()
    bench.converged("Instance", stored, raw)


class Died(BaseException):
    """The process is no more."""


def died(*_arguments: Any, **_named: Any) -> Any:
    raise Died


DOORS, POWERS = ("engine", "document"), ("running", "unmanaged")
STEPS = {"before": (guest, "shut_down"), "between": (guest, "start"), "after": (restarting, "close")}


@pytest.mark.parametrize(("door", "power"), sample([*itertools.product(DOORS, POWERS)], "triggers", share=0.5, least=2))
def test_one_that_was_cut_off_goes_on_and_restarts_no_second_time(
    bench: Bench, made: Callable[[Bag], Stored], door: str, power: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an engine, whose state still has the old triggers then, and by a document, which has the mark alone."""
    raw = bare(bench, "cut", restartTriggers=A)
    objects = registry.objects(Provider(virt_type="qemu"))
    by = DeclaredBy.of("cli", "x", "")
    stored = made(raw) if door == "engine" else objects.apply("Instance", raw, Work(), by=by).stored
    raw |= {"powerState": power}

    def again(new: Bag) -> None:
        if door == "engine":
            bench.update("Instance", stored, new)
        else:
            objects.apply("Instance", new, Work(), by=by)

    try:
        for number, (step, (module, name)) in enumerate(STEPS.items()):
            new = {**raw, "restartTriggers": {"word": str(number)}}
            before = run(bench, stored)
            with monkeypatch.context() as patched:
                patched.setattr(module, name, died)
                with pytest.raises(Died):
                    again(new)
            then = run(bench, stored)
            assert (then == before, then == -1, then > before) == (step == "before", step == "between", step == "after")
            if door == "document":
                is_left = step == "before" or (step == "between" and power == "unmanaged")
                unfinished(objects, raw, new, is_left=is_left)
            again(new)
            once = run(bench, stored)
            assert once > before
            assert once == then or step != "after"
            again(new)
            assert run(bench, stored) == once
    finally:
        if door == "document":
            objects.delete("Instance", raw["name"], Work())


def unfinished(objects: Objects, raw: Bag, new: Bag, *, is_left: bool) -> None:
    """Whether a plan says that an apply goes on with the restart."""
    told = objects.plan("Instance", raw["name"], new, Work()).unfinished
    assert [one.partition(":")[0] for one in told] == (["restartTriggers"] if is_left else [])
