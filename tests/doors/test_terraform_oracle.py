"""Every resource against the rules of hosts: random configurations, planned, applied, read and planned again.

The gadget is really applied. For the others, whose host is known only after the apply and so is never asked, what a
perfect apply would give is made of the plan.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import gadget
import host_rules
import pytest
from configurations import changed, drawn, pool_of, settled, shuffled
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from terraform_rpc import Applied, Engine, Planned

from jvp.core.model import fields
from jvp.core.stored import Stored
from jvp.core.values import UNKNOWN
from jvp.doors.terraform import kept
from jvp.doors.terraform.plugin import registered
from jvp.doors.terraform.schema import type_name
from jvp.doors.terraform.values import to_bag
from jvp.resources.registry import TYPES

REAL = [*map(type_name, TYPES)]
# The same examples every time: what a run finds is the change's, not chance's.
settings.register_profile(
    "oracle", derandomize=True, database=None, max_examples=60, phases=[Phase.generate], deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
oracle = settings(settings.get_profile("oracle"))


@cache
def offline() -> tuple[Any, Engine]:
    """All that JVP has, over a node that is known only after the apply."""
    servicer = registered()
    engine = Engine(lambda method, request: servicer.method(method)(request))
    assert engine.configure(uri=UNKNOWN) == []
    return servicer, engine


# What a perfect apply gives


def ideal(planned: Planned) -> Applied:
    """The planned state with something for all that is unknown, and what the provider would keep beside it."""
    servicer, engine = offline()
    handler = servicer.types[planned.kind]
    assert planned.state is not None
    assert planned.config is not None
    state = _whole(engine.block(planned.kind), planned.state, itertools.count(1))
    inputs = servicer._ready.calls.check(handler.token, to_bag(handler.spec, planned.config)).inputs
    if planned.kind == "jvp_template":
        state["source"]["digest"] = inputs["source"].get("digest")  # of a file that is there
    stored = Stored(state["id"], inputs, to_bag(handler.state, state), {"schema": handler.spec.schema_version})
    return Applied(planned.kind, state, kept.packed(stored), [], [])


def _whole(block: host_rules.Block, value: Any, numbers: Any) -> Any:
    return {name: _known(one, value[name], numbers) for name, one in block.items()}


UUID = "00000000-0000-4000-8000-{:012x}"
MADE = {"id": UUID, "mac": "52:54:00:99:00:{:02x}", "machine": "pc-q35-7.2", "state": "running", "size": "{}GiB"}


def _known(one: host_rules.Attribute, value: Any, numbers: Any) -> Any:
    if one.nested is not None and one.is_map and isinstance(value, dict):
        return {key: _whole(one.nested, item, numbers) for key, item in value.items()}
    if one.nested is not None and isinstance(value, dict):
        return _whole(one.nested, value, numbers)
    if one.nested is not None and isinstance(value, list):
        return [_whole(one.nested, item, numbers) for item in value]
    if value is not UNKNOWN:
        return value
    if one.nested is not None:
        empty = dict.fromkeys(one.nested, UNKNOWN)
        return [] if one.is_list else {} if one.is_map else _whole(one.nested, empty, numbers)
    if isinstance(one.type, list):
        return [] if one.type[0] == "list" else {}
    number = next(numbers)
    made = {"string": MADE.get(one.name, "made-{}").format(number), "number": number, "bool": True}
    return made[one.type]


# The rules


def hold(
    engine: Engine, kind: str, data: st.DataObject, after: Applied | None, configuration: dict[str, Any]
) -> Planned:
    """Plan `configuration`, and plan again when what was unknown is known: what was promised stays so."""
    planned = engine.plan(kind, configuration, after)
    if not list(host_rules.unknowns(configuration)):
        return planned
    known = settled(data.draw, copy.deepcopy(configuration), pool_of(kind, engine.block(kind)))
    assume(not engine.failures(kind, known))
    final = engine.plan(kind, known, after)
    broken = host_rules.broken_promises(planned.state, final.state)
    # A replacement is planned anew, as a new object.
    assert not broken or planned.replaces or final.replaces, broken
    if planned.is_nothing:
        assert final.is_nothing
    return final


def is_taken(servicer: Any, planned: Planned) -> list[str]:
    """The configured values that the plan does not have, nor anything that means the same."""
    known = {facts.attribute: facts for facts in fields(servicer.types[planned.kind].spec).values()}
    assert planned.config is not None
    assert planned.state is not None
    return [
        name
        for name, value in planned.config.items()
        if name in known and known[name].item is None and name != "machine" and value not in (None, UNKNOWN, [], {})
        and known[name].canonical(value) != known[name].canonical(planned.state[name])
    ]  # fmt: skip


@pytest.mark.parametrize("kind", REAL)
@oracle
@given(data=st.data())
def test_every_plan_is_one_that_a_host_takes(kind: str, data: st.DataObject) -> None:
    servicer, engine = offline()
    pool = pool_of(kind, engine.block(kind))

    def failures(one: dict[str, Any]) -> Any:
        return engine.failures(kind, one)

    first = drawn(data.draw, pool, failures, unknowns=data.draw(st.booleans()))
    assume(first is not None)
    planned = hold(engine, kind, data, None, first)
    there = ideal(planned)
    assert planned.config is not None
    again = engine.plan(kind, planned.config, there)
    assert again.is_nothing, host_rules.broken_promises(again.state, there.state)
    assert engine.upgrade(kind, there.state) == (there.state, [])
    lost = replace(there, private=b"")  # what the provider kept beside the state
    assert engine.plan(kind, planned.config, lost).is_nothing
    assert engine.read(there).state == there.state
    assert engine.plan(kind, shuffled(data.draw, planned.config), there).is_nothing

    second = changed(data.draw, planned.config, pool, failures, unknowns=data.draw(st.booleans()))
    assume(second is not None)
    planned = hold(engine, kind, data, there, second)
    if planned.replaces:
        planned = hold(engine, kind, data, None, planned.config)
    assert not is_taken(servicer, planned)
    there = ideal(planned)
    assert engine.plan(kind, planned.config, there).is_nothing


@oracle
@given(data=st.data())
def test_every_apply_keeps_what_its_plan_promised(data: st.DataObject) -> None:
    kind, host = "jvp_gadget", gadget.Host()
    servicer = gadget.terraform(host)
    engine = Engine(lambda method, request: servicer.method(method)(request), refined=data.draw(st.booleans()))
    assert engine.configure() == []
    pool = pool_of(kind, engine.block(kind))

    def failures(one: dict[str, Any]) -> Any:
        return engine.failures(kind, one)

    there, given_ = None, None
    for _ in range(3):
        unknowns = data.draw(st.booleans())
        given_ = (
            drawn(data.draw, pool, failures, unknowns=unknowns)
            if given_ is None
            else changed(data.draw, given_, pool, failures, unknowns=unknowns)
        )
        assume(given_ is not None)
        planned = hold(engine, kind, data, there, given_)
        given_ = planned.config
        host.weather = data.draw(st.sampled_from(["sun", "rain", None]))
        if there is not None and planned.replaces:
            engine.done(engine.plan_delete(there))
            planned = hold(engine, kind, data, None, given_)
        assert not is_taken(servicer, planned)
        there = engine.done(planned)
        assert engine.plan(kind, given_, there).is_nothing
        there = engine.read(there)
        assert not there.errors
        assert engine.plan(kind, given_, there).is_nothing
        assert engine.plan(kind, shuffled(data.draw, given_), there).is_nothing
    engine.done(engine.plan_delete(there))
    assert host.gadgets == {}


def test_what_is_told_of_a_file_waits_for_it_and_goes_with_it(tmp_path: Path) -> None:
    _, engine = offline()
    image, pool = tmp_path / "image", {"name": "t", "pool": "p"}
    early = engine.plan("jvp_template", {**pool, "source": {"path": str(image)}})
    image.write_bytes(bytes(1024))
    planned = engine.plan("jvp_template", {**pool, "source": {"path": str(image)}})
    assert host_rules.broken_promises(early.state, planned.state) == []
    # Another file may be there when the host plans once more, in the apply.
    assert planned.state is not None
    assert planned.state["source"]["digest"] is UNKNOWN
    assert planned.state["digest"] is planned.state["volume_name"] is UNKNOWN
    there = ideal(planned)
    assert there.state is not None
    assert there.state["source"]["digest"]
    image.write_bytes(b"other")
    after = engine.plan("jvp_template", {**pool, "source": {"path": str(image)}}, there)
    assert not after.is_nothing
    assert after.state is not None
    assert after.state["source"]["digest"] is after.state["digest"] is UNKNOWN
    # `ignore_changes` gives the configuration what is in the state.
    assert engine.plan("jvp_template", {**pool, "source": there.state["source"]}, there).is_nothing
    image.write_bytes(bytes(1024))
    for source in ({"path": UNKNOWN}, {"url": "https://host.example/image"}):
        after = engine.plan("jvp_template", {**pool, "source": source}, there)
        assert after.state is not None
        assert after.state["source"]["digest"] is UNKNOWN
        assert after.state["digest"] is UNKNOWN
    assert not engine.block("jvp_template")["source"].nested["digest"].settable
