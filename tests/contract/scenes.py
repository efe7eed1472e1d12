"""What a scenario of the parity suite works with, and how what two doors did is compared."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import libvirt
from tests.contract.columns import Column, Told
from tests.contract.conftest import Bench

Bag = dict[str, Any]
OUTCOMES = {"create": "done", "update": "done", "replace": "done", "unfinished": "partial"}
"""What a run does, and what became of its last call by the audit."""
GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass
class Scene:
    """What a scenario works with. `told` collects what was done, `seen` what is on the host, step by step."""

    bench: Bench
    column: Column
    name: str
    told: list[Any]
    seen: list[dict[str, str]]
    audit: Path
    """Where the door notes what it changes."""

    def up(self, token: str, raw: Bag, label: str = "one") -> Told:
        before = len(self.audited())
        told = self.note(self.column.up(token, label, raw))
        if (outcome := OUTCOMES.get(told.action)) is not None:
            entries = self.audited()
            calls = 1 if told.action != "replace" else 2 if self.column.is_engine else 3  # refused, deleted, made
            assert len(entries) - before == calls, told
            assert (entries[-1]["kind"], entries[-1]["outcome"]) == (token, outcome)
            assert entries[-1]["id"]
        return told

    def plan(self, token: str, raw: Bag, label: str = "one") -> Told:
        before = len(self.audited())
        told = self.note(self.column.plan(token, label, raw))
        assert len(self.audited()) == before, "a plan changes nothing"
        return told

    def audited(self) -> list[Bag]:
        """What the door has noted of calls that are over: of each one its begin and then its end."""
        text = self.audit.read_text() if self.audit.exists() else ""
        assert not re.search("never-to-be-shown|neither-this-one", text), "a secret is in the audit"
        entries = [json.loads(line) for line in text.splitlines()]
        assert {one["door"] for one in entries} <= {self.column.name}
        ended = [one for one in entries if one["outcome"] != "begun"]
        begun = [one["call"] for one in entries if one["outcome"] == "begun"]
        assert {one["call"] for one in ended} <= {*begun}
        assert len({*begun}) == len(begun)
        assert len({one["call"] for one in ended}) == len(ended)
        return ended

    def note(self, told: Told) -> Told:
        self.told.append(replace(told, sentence=same(told.sentence)))
        self.seen.append(self.objects())
        return told

    def objects(self) -> dict[str, str]:
        """The objects of this scenario as XML, without what differs by the key."""
        return {same(name): same(text) for name, text in self._ours()}

    def _ours(self) -> Iterator[tuple[str, str]]:
        connection, pool = self.bench.connection, self.bench.pool
        assert pool is not None
        holder = connection.storagePoolLookupByUUIDString(pool.id)
        holder.refresh(0)
        for kind, found, inactive in (
            ("domain", connection.listAllDomains(0), libvirt.VIR_DOMAIN_XML_INACTIVE),
            ("network", connection.listAllNetworks(0), libvirt.VIR_NETWORK_XML_INACTIVE),
            ("filter", connection.listAllNWFilters(0), 0),
            ("pool", connection.listAllStoragePools(0), libvirt.VIR_STORAGE_XML_INACTIVE),
            ("volume", holder.listAllVolumes(0), 0),
        ):
            for one in found:
                if self.name in one.name():
                    state = f"{one.isActive()} {one.autostart()} " if kind not in ("volume", "filter") else ""
                    text = one.XMLDesc(inactive)
                    if kind == "pool":  # of a stopped one libvirt may still tell what its last look found, or nothing
                        text = re.sub(r"<capacity\b.*?</capacity>", "", text)
                    if kind == "filter":  # our mark, packed
                        text = re.sub(r"<rule action='continue'.*?</rule>\s*", "", text, flags=re.DOTALL)
                    yield f"{kind} {one.name()}", state + text

    @property
    def outputs(self) -> Bag:
        return self.column.outputs("one")


def same(text: str) -> str:
    """Without uuids, what is made of them, and each engine's own command of an import."""
    text = re.sub(r", or import it.*? import .* ", ", or import ", text)
    # Other tests beside these make networks and pools, too.
    text = re.sub(r"; there are: [^;]*", "; there are: NAMES", text)
    text = re.sub(r"-layer[0-9a-f]{12}n", "-layerSERIALn", GUID.sub("UUID", text))
    # Of a mark, what was declared: each door says in its own way who declares it.
    text = re.sub(r"<metadata>.*?(<jvp:declared|</metadata>)", r"<metadata>\1", text, flags=re.DOTALL)
    text = re.sub(r"[0-9a-f]{16}\$[0-9a-f]{32}", "DIGEST", text)
    # A pool says in its source who declares it; each door says so in its own way.
    text = re.sub(r"&quot;declaredBy&quot;:\{.*?\},|&quot;owner&quot;:&quot;[^&]*&quot;", "", text)
    # An engine acknowledges what it made by its next read, and without one the create does: a record's length tells it.
    text = re.sub(r"(<capacity unit='bytes'>)409[67]<", r"\1LENGTH<", text)
    text = re.sub(r"&quot;acknowledged&quot;:(true|false),", "", text)
    text = re.sub(r"52:54:00(:[0-9a-f]{2}){3}", "MAC", text)
    text = re.sub(r"<(timestamps|physical|allocation|available)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r"(jvp-template-.+?-)[0-9a-f]{12}\b", r"\1DERIVED", text)
    return re.sub(r"jvp-?[0-9a-f]{7,10}\b", "DERIVED", text)


def differences(first: list[dict[str, str]], other: list[dict[str, str]]) -> list[str]:
    """The lines by which what one door made differs from what another made, step by step."""
    found = [f"{len(first)} and {len(other)} steps"] if len(first) != len(other) else []
    for step, (one, two) in enumerate(zip(first, other, strict=False)):
        for name in sorted(one.keys() | two.keys()):
            lines = difflib.unified_diff(
                one.get(name, "").splitlines(), two.get(name, "").splitlines(), n=0, lineterm=""
            )
            found += [f"step {step}, {name}: {line}" for line in lines if not line.startswith(("---", "+++", "@@"))]
    return found


def as_told_by(column: Column, told: list[Any]) -> list[Any]:
    """What a door tells: the plan of the command line is of what is declared, and says nothing of outputs."""
    if column.name != "cli":
        return told
    return [replace(one, unknown=frozenset()) if isinstance(one, Told) else one for one in told]


Run = Callable[[Scene], None]
SCENARIOS: dict[str, Run] = {}
ENGINES_ALONE: dict[str, str] = {}
"""Scenarios that need an engine, and why."""


def scenario(run: Run) -> Run:
    SCENARIOS[run.__name__] = run
    return run


def engines_alone(reason: str) -> Callable[[Run], Run]:
    def note(run: Run) -> Run:
        ENGINES_ALONE[run.__name__] = reason
        return scenario(run)

    return note
