"""Descriptions and tags: changed while the guest runs, drift in either definition, and what lists are filtered by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt
from tests.contract.conftest import Bench, domain_of
from tests.contract.counted import counting
from tests.contract.kinds import foreign_domain, running
from tests.contract.test_lists import listed, many, names

from jvp.core.errors import dotted
from jvp.core.facts import Effect
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import parse
from jvp.resources.instance.handler import Instances
from jvp.resources.instance.items import InstanceFilters
from jvp.resources.instance.labels import description_of, tags_of
from jvp.resources.provider import Provider

Bag = dict[str, Any]
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE


def told(domain: Any, flags: int) -> tuple[str | None, dict[str, str]]:
    """What the running (0) or the inactive (2) definition says."""
    root = parse(domain.XMLDesc(flags))
    return description_of(root), tags_of(root)


def test_they_change_while_the_guest_runs_and_are_drift_in_either_definition(
    bench: Bench, made: Callable[[Bag], Stored]
) -> None:
    bare = {
        name: value for name, value in running(bench, bench.name("labels")).items() if name not in ("disks", "nics")
    }
    raw = {**bare, "description": "The shop\n  <at> night", "tags": {"team": "web", "über": "a & b"}}
    stored = made(raw)
    domain = domain_of(bench, stored)
    run, said = domain.ID(), (raw["description"], raw["tags"])
    assert told(domain, 0) == told(domain, 2) == said
    assert {name: stored.state[name] for name in ("description", "tags")} == {
        "description": raw["description"], "tags": raw["tags"],
    }  # fmt: skip

    new = {**raw, "description": "Another", "tags": {"team": "db"}}
    changes = bench.calls.diff("Instance", stored, bench.inputs("Instance", new)).changes
    assert [(dotted(one.path), one.effect, one.note) for one in changes] == [
        ("description", Effect.LIVE, ""), ("tags", Effect.LIVE, ""),
    ]  # fmt: skip
    with counting() as asked:
        stored = bench.update("Instance", stored, new).stored
    assert asked["virDomainSetMetadata"] == 2, asked
    assert told(domain, 0) == told(domain, 2) == ("Another", {"team": "db"})
    assert domain.ID() == run
    assert (stored.state["pendingRestart"], stored.state["pending"]) == (False, [])
    stored = bench.converged("Instance", stored, new)

    # `virsh desc` and `virsh metadata` change a running guest alone, unless they are told otherwise.
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, "a <{%red%}> one", None, None, LIVE)
    mark = f"<mark key='{bench.key('Instance', raw['name']).digest}' generation='0' tags='team=thieves'/>"
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, mark, marks.PREFIX, marks.NAMESPACE, LIVE)
    read = bench.read("Instance", stored)
    assert read is not None
    assert (read.state["description"], read.state["tags"]) == (r"a <\x7b%red%}> one", {"team": "thieves"})
    assert bench.plan("Instance", read, new) == ["description", "tags"]
    stored = bench.update("Instance", read, new).stored
    assert told(domain, 0) == told(domain, 2) == ("Another", {"team": "db"})

    stored = bench.update("Instance", stored, bare).stored  # taken out of the program
    assert told(domain, 0) == told(domain, 2) == (None, {})
    assert domain.ID() == run
    bench.converged("Instance", stored, bare)


def test_lists_are_filtered_by_all_of_the_tags_and_strangers_have_none(
    bench: Bench, made: Callable[[Bag], Stored], tmp_path: Path
) -> None:
    assert bench.pool is not None
    web, db = bench.name("tag"), bench.name("tag")
    for name, tags in ((web, {"team": "web", "tier": "1"}), (db, {"team": "db", "tier": "1"})):
        raw = {**running(bench, name), "powerState": "stopped", "disks": [], "nics": [], "tags": tags}
        made(raw | {"description": f"the {tags['team']} one"})
    theirs = foreign_domain(bench, {"name": bench.name("tag")})
    by: Bag = {"name": f"{bench.prefix}tag*"}
    try:
        for words, found in (
            (["tier"], [web, db]), (["team=web"], [web]), (["team", "tier=1"], [web, db]), (["team=db", "tier=2"], []),
            (["nobody"], []), ([], [web, db, theirs.name()]),
        ):  # fmt: skip
            assert names(listed(bench, "Instance", tags=words, **by)) == found, words
        one, _, other = listed(bench, "Instance", details=True, **by)
        assert (one["tags"], one["description"]) == ({"team": "web", "tier": "1"}, "the web one")
        assert not {"tags", "description"} & set(other)
        found, _ = bench.calls.invoke("getInstance", {"instance": theirs.name()}, Work())
        assert found is not None
        assert found["tags"] == {}
    finally:
        theirs.undefine()

    class Crowded:
        connection = many(tmp_path, 20)

    handler = Instances(Crowded(), Provider())  # type: ignore[arg-type]
    with counting() as asked:
        assert list(handler.list(Work(), InstanceFilters(name="d1?", tags=["team"]))) == []
    assert asked == {"virConnectGetAllDomainStats": 1, "virDomainGetXMLDesc": 10}
