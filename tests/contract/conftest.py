"""The calls over the real daemon, and a pool, a network and volumes that the kinds under test stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.contract.storage_support import MARKER, Provider, key, pool_spec

from jvp.core import going
from jvp.core.calls import Calls
from jvp.core.check import failures_text
from jvp.core.identity import Key
from jvp.core.stored import Result, Stored
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.resources.instance import live
from jvp.resources.provider import Provider as Settings
from jvp.resources.registry import calls as registered

Bag = dict[str, Any]


@dataclass
class Bench:
    """The verbs as an engine makes them: check first, then the rest with what check gave."""

    calls: Calls
    connection: Any
    prefix: str
    folder: Path
    cidr: Callable[[], str]
    pool: Stored | None = None
    network: Stored | None = None
    volumes: list[Stored] = field(default_factory=list)
    numbers: Any = field(default_factory=count)
    machines: list[Stored] = field(default_factory=list)
    mode: str | None = None
    """Of networks that declare none; None leaves the default, NAT. At each change of a network libvirt writes its rules
    of the firewall anew, and waits for the kernel: an isolated one has fewer, and takes half the time."""

    def name(self, stem: str = "x") -> str:
        return f"{self.prefix}{stem}{next(self.numbers)}"

    def key(self, token: str, label: str) -> Key:
        return Key("", self.calls.handlers[token].kind, f"{self.prefix}/{label}", label)

    def inputs(self, token: str, raw: Bag) -> Bag:
        if token == "Network" and self.mode is not None:
            raw = {"mode": self.mode, **raw}
        checked = self.calls.check(token, raw)
        assert not checked.failures, failures_text(checked.failures)
        return checked.inputs

    def create(self, token: str, label: str, raw: Bag, work: Work | None = None) -> Result:
        return self.calls.create(token, self.key(token, label), self.inputs(token, raw), work or Work())

    def read(self, token: str, stored: Stored) -> Stored | None:
        return self.calls.read(token, stored, Work())

    def plan(self, token: str, stored: Stored, raw: Bag) -> list[str]:
        """The paths that an update would change."""
        from jvp.core.errors import dotted

        return [dotted(change.path) for change in self.calls.diff(token, stored, self.inputs(token, raw)).changes]

    def update(self, token: str, stored: Stored, raw: Bag, work: Work | None = None) -> Result:
        return self.calls.update(token, stored, self.inputs(token, raw), work or Work())

    def converged(self, token: str, stored: Stored, raw: Bag) -> Stored:
        """The object read again, of which nothing may differ from `raw` nor from what was stored."""
        read = self.read(token, stored)
        assert read is not None
        assert self.plan(token, read, raw) == []
        assert steady(read.state) == steady(stored.state)
        assert read.inputs == stored.inputs
        return read

    def machine(self) -> Stored:
        """A stopped instance for who needs one, made when it is first asked for."""
        if not self.machines:
            assert self.pool is not None
            raw = {"name": self.name("machine"), "memory": "32MiB", "powerState": "stopped",
                   "rootDisk": {"pool": self.pool.id, "size": "1MiB"}}  # fmt: skip
            self.machines.append(self.create("Instance", "base machine", raw).stored)
        return self.machines[0]

    def delete(self, token: str, stored: Stored) -> None:
        self.calls.delete(token, stored, Work())


CHANGING = {"addresses", "ipAddress", "state", "capacityBytes", "allocationBytes", "availableBytes"}
"""Outputs that the world changes, not we."""


def steady(state: Bag) -> Bag:
    return {name: value for name, value in state.items() if name not in CHANGING}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for what does not come: no guest of these tests has a system, which would let go of a device or heed
    its balloon; and no name that is taken is given up meanwhile, but in test_given_away.py."""
    monkeypatch.setattr(devices, "UNPLUG_S", 0.5)
    monkeypatch.setattr(live, "BALLOON_S", 0.5)
    monkeypatch.setattr(going, "BEGINS_S", 0.3)


@pytest.fixture(scope="session")
def plain_bench(daemon: Any, prefix: str, run_folder: Path, cidrs: Callable[[], str]) -> Bench:
    """A bench without anything on it."""
    return Bench(registered(Settings(virt_type="qemu")), daemon, prefix, run_folder, cidrs)


@pytest.fixture(scope="session")
def furnished(plain_bench: Bench) -> Iterator[Bench]:
    """A bench with a pool, a network, two volumes and two CD images for the kinds that need them."""
    bench = plain_bench
    bench.pool = bench.create(
        "StoragePool", "base", {"name": bench.name("base"), "path": f"{bench.folder}/base"}
    ).stored
    cidr = bench.cidr()
    network = {"name": bench.name("base"), "cidr": cidr, "mode": "isolated"}
    bench.network = bench.create("Network", "base", network).stored
    for label, format in (("one", "qcow2"), ("two", "qcow2"), ("cd", "raw"), ("other-cd", "raw")):
        raw = {"name": bench.name(label), "pool": bench.pool.id, "size": "1MiB", "format": format}
        bench.volumes.append(bench.create("Volume", label, raw).stored)
    yield bench
    for machine in bench.machines:
        bench.delete("Instance", machine)
    for volume in bench.volumes:
        bench.delete("Volume", volume)
    bench.delete("Network", bench.network)
    bench.delete("StoragePool", bench.pool)


@pytest.fixture
def bench(furnished: Bench, leftovers: None) -> Iterator[Bench]:
    there = len(furnished.machines)
    yield furnished
    while len(furnished.machines) > there:
        furnished.delete("Instance", furnished.machines.pop())


@pytest.fixture
def provider() -> Iterator[Provider]:
    """The handlers of storage, without the calls around them."""
    provider = Provider()
    yield provider
    provider.exit()


@pytest.fixture
def folder(run_folder: Path) -> Path:
    return run_folder / "pool"


@pytest.fixture
def pool(provider: Provider, prefix: str, folder: Path) -> Iterator[str]:
    """A pool that holds nothing at the end of a good test."""
    name = f"{prefix}pool"
    made = provider.pools.create(Work(), key("storage pool", name), pool_spec(name=name, path=str(folder)))
    yield name
    inside = {path.name for path in folder.iterdir()}
    provider.pools.delete(Work(), made.id, made.state)
    assert inside == {MARKER}


def domain_of(bench: Bench, stored: Stored) -> Any:
    return bench.connection.lookupByUUIDString(stored.id)


@pytest.fixture
def made(bench: Bench) -> Iterator[Callable[[Bag], Stored]]:
    """Makes instances that are deleted at the end."""
    found: list[Stored] = []

    def make(raw: Bag) -> Stored:
        found.append(bench.create("Instance", raw["name"], raw).stored)
        return found[-1]

    yield make
    for stored in found:
        bench.delete("Instance", stored)
