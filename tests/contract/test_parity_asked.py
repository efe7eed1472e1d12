"""What is asked, and what is done to an object that is there, through every door: the same answers about the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi._types import _py_properties, is_output_type
from tests.contract import kinds
from tests.contract.columns import LISTS, Column
from tests.contract.conftest import Bench
from tests.contract.plain_columns import COLUMNS

from jvp import dynamic
from jvp.core.identity import DeclaredBy
from jvp.core.model import fields
from jvp.core.work import Work
from jvp.resources import registry
from jvp.resources.provider import Provider

Bag = dict[str, Any]
MOVES = {"availableBytes", "allocationBytes", "freeMemoryBytes"}
"""What the rest of the machine changes between two questions."""
COUNTED = re.compile(
    "(Microseconds|Milliseconds|Requests|Packets|Drops|Errors)$|^(read|written|received|sent|resident)Bytes$"
)
"""What counts while a guest runs, and the clock."""


class Dynamic:
    """A program of the dynamic form, which asks the node itself."""

    name = "dynamic"

    def ask(self, function: str, args: Bag) -> Bag:
        asked = getattr(dynamic, _snake(function))
        return dict(self._bag(asked(**{_snake(name): value for name, value in args.items()})))

    def _bag(self, value: Any) -> Any:
        """The SDK's types without what is not set."""
        if isinstance(value, list):
            return [self._bag(one) for one in value]
        if not is_output_type(type(value)):
            return value
        found = {name: getattr(value, attribute) for attribute, name, _ in _py_properties(type(value))}
        return {name: self._bag(one) for name, one in found.items() if one is not None}


WORDS: Bag = {"description": "asked\nof all", "tags": {"team": "web", "backup": ""}}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Column]]:
    made = [column(tmp_path_factory.mktemp("door")) for column in COLUMNS]
    yield made
    for column in made:
        column.close()


def test_every_door_answers_the_same(bench: Bench, columns: list[Column]) -> None:
    """Each list by a filter of its own, and each function about one object, by its name and by its id."""
    assert bench.pool is not None
    assert bench.network is not None
    name = bench.name("asked")
    made = [
        ("Template", bench.create("Template", name, {**kinds.template(bench, f"{name}-t"), "os": "debian"}).stored),
        ("Instance", bench.create("Instance", name, {**kinds.running(bench, name), **WORDS}).stored),
    ]
    made.append(("Firewall", bench.create("Firewall", name, kinds.firewall(bench, f"{name}-f")).stored))
    taken = bench.create("Snapshot", name, {"name": f"{name}-s", "instance": name, "description": "one"}).stored
    made.append(("Snapshot", taken))
    places = [(one.id, f"{bench.pool.state['name']}/{one.state['name']}") for one in (made[0][1], bench.volumes[0])]
    subjects = {
        "instance": (made[1][1].id, name), "network": (bench.network.id, bench.network.state["name"]),
        "storagePool": (bench.pool.id, bench.pool.state["name"]), "template": places[0], "volume": places[1],
        "firewall": (made[2][1].id, f"{name}-f"), "snapshot": (taken.id, f"{name}/{name}-s"),
    }  # fmt: skip
    filters: dict[str, Bag] = {
        "getInstances": {"state": "running", "network": bench.network.id, "tags": ["team=web", "backup"]},
        "getNetworks": {"mode": "isolated"},
        "getFirewalls": {"ours": True},
        "getStoragePools": {"state": "running"},
        "getTemplates": {"os": "debian", "kind": "cloud", "used": False, "maxSize": "1GiB"},
        "getVolumes": {"attached": True, "attachedTo": name, "minSize": "1KiB", "pool": bench.pool.id},
        "getSnapshots": {"instance": name},
    }  # fmt: skip
    try:
        for function in registry.FUNCTIONS:
            for args in _questions(function, subjects, filters, bench.prefix):
                first, *others = ((column.name, _still(column.ask(function, args))) for column in (*columns, Dynamic()))
                assert function not in LISTS or all(first[1].values()), (function, first)
                for door, answer in others:
                    assert answer == first[1], (function, door)
    finally:
        for token, stored in reversed(made):
            bench.delete(token, stored)


def _questions(function: str, subjects: Any, filters: dict[str, Bag], prefix: str) -> list[Bag]:
    if function in LISTS:
        return [{"name": f"{prefix}*", "details": True, **filters[function]}]
    args = fields(registry.FUNCTIONS[function].args)
    more: Bag = {"details": True} if "details" in args else {}
    about = [subject for subject in subjects if subject in args]
    return [{subject: reference, **more} for subject in about for reference in subjects[subject]] or [{}]


def _still(answer: Any) -> Any:
    """Without what moves by itself."""
    if isinstance(answer, list):
        return [_still(one) for one in answer]
    if isinstance(answer, dict):
        return {name: _still(value) for name, value in answer.items() if name not in MOVES and not COUNTED.search(name)}
    return answer


ACTS: list[tuple[str, Bag, str]] = [
    ("startInstance", {}, "running"),
    ("pauseInstance", {}, "paused"),
    ("resumeInstance", {}, "running"),
    ("restartInstance", {"timeout": "0s"}, "running"),
    ("stopInstance", {"force": True}, "stopped"),
    ("snapshotInstance", {}, "stopped"),
    ("rollbackInstance", {"to": "NAME"}, "stopped"),
    ("rollbackSnapshot", {}, "stopped"),
    ("compactInstance", {"disk": "root"}, ""),
    ("compactVolume", {}, ""),
    ("stopStoragePool", {}, "inactive"),
    ("startStoragePool", {}, "running"),
    ("refreshStoragePool", {}, "running"),
    ("stopNetwork", {}, "inactive"),
    ("startNetwork", {}, "active"),
]


def test_every_door_acts_the_same(bench: Bench, columns: list[Column], tmp_path: Path) -> None:
    """On the same objects, one door after the other: each act is seen on the node."""
    name = bench.name("acted")
    bare = {key: value for key, value in kinds.stopped(bench, name).items() if key not in ("disks", "nics")}
    by = DeclaredBy.of("cli", "x", "")
    objects = registry.objects(Provider(virt_type="qemu"))
    raws = {"Instance": bare, "StoragePool": kinds.pool(bench, name), "Network": kinds.network(bench, name),
            "Snapshot": {"name": name, "instance": name}, "Volume": kinds.volume(bench, name)}  # fmt: skip
    made = {token: objects.apply(token, raw, Work(), by=by).stored for token, raw in raws.items()}
    assert {action for action, *_ in ACTS} == {name for name, action in registry.ACTIONS.items() if not action.local}
    try:
        for action, args, state in ACTS:
            token = registry.ACTIONS[action].on
            doors = set()
            args = {argument: name if value == "NAME" else value for argument, value in args.items()}
            for column in columns:
                run = bench.connection.lookupByUUIDString(made["Instance"].id).ID()
                told = column.act(action, made[token].id, args)
                if told is not None and not state:
                    assert told["freedBytes"] == max(0, told["beforeBytes"] - told["afterBytes"]), column.name
                    doors.add(column.name)
                elif told is not None:
                    seen = "Instance" if token == "Snapshot" else token
                    found = objects.get(seen, made[seen].id, Work())
                    assert found is not None
                    assert (told["state"], found.state["state"]) == (state, state), (action, column.name)
                    assert action != "restartInstance" or run != bench.connection.lookupByName(name).ID()
                    doors.add(column.name)
            stands = any(one.stands_for == action for one in registry.RESOURCES.values())
            assert doors == {"rest", "cli"} | ({"pulumi", "terraform"} if stands else set())
        told = []
        for column in columns:  # a server writes no file of its own machine
            if column.name != "rest":
                args = {"path": str(tmp_path / column.name), "format": "raw"}
                told.append(column.act("exportVolume", made["Volume"].id, args))
        assert len(told) == 3
        assert all(one == told[0] and one["sizeBytes"] == 2 << 20 for one in told)
    finally:
        for token, stored in reversed(made.items()):
            bench.delete(token, stored)
