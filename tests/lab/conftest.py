"""Real guests under emulation, their serial consoles, and a count of what their boots took."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench, steady

from jvp.core.stored import Result, Stored
from jvp.core.work import Work

BOOT_S = 120
BOOTS: list[str] = []
"""One line for every boot that was waited for: shown at the end of the run."""
LEASE = re.compile(r"micro: lease (\S+) (\S+)")


class Console:
    """What a guest writes on its serial console, through all of its power cycles."""

    def __init__(self, uri: str, name: str) -> None:
        self.name, self._uri = name, uri
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._uuid: str | None = None
        self._thread = threading.Thread(target=self._follow, name=f"console of {name}", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self.lines)

    def wait(self, pattern: str, *, since: int = 0, limit_s: float = 90) -> re.Match[str]:
        """The first line from `since` on that matches; without one the test fails."""
        if found := self.find(pattern, since=since, limit_s=limit_s):
            return found
        pytest.fail(f"the guest did not say {pattern!r} in {limit_s} s; it said {self.lines[since:][-8:]}")

    def find(self, pattern: str, *, since: int, limit_s: float) -> re.Match[str] | None:
        """The first line from `since` on that matches, if it comes within the limit."""
        end = time.monotonic() + limit_s
        with self._news:
            while True:
                for line in self.lines[since:]:
                    if found := re.search(pattern, line):
                        return found
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self._news.wait(left)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def _follow(self) -> None:
        import libvirt

        connection: Any = None
        while not self._stop.is_set():
            with contextlib.suppress(libvirt.libvirtError):
                if connection is None or not connection.isAlive():
                    connection = libvirt.open(self._uri)
                self._read(connection)
            self._stop.wait(0.05)
        if connection is not None:
            connection.close()

    def _read(self, connection: Any) -> None:
        import libvirt

        look = connection.lookupByUUIDString if self._uuid else connection.lookupByName
        domain = look(self._uuid or self.name)
        self._uuid = domain.UUIDString()
        stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        rest = ""
        while not self._stop.is_set():
            data = stream.recv(4096)
            if isinstance(data, int):
                self._stop.wait(0.02)
                continue
            if not data:
                return
            *whole, rest = (rest + data.decode(errors="replace")).split("\n")
            with self._news:
                self.lines += [line.strip("\r") for line in whole]
                self._news.notify_all()


class Guest:
    """One instance under test, with the declaration and the state that an engine would hold."""

    def __init__(self, bench: Bench, label: str, raw: dict[str, Any]) -> None:
        self.bench, self.label, self.raw = bench, label, raw
        self.console = Console(bench.connection.getURI(), raw["name"])
        self.stored: Stored | None = None

    def create(self) -> Result:
        """Create and wait for the address; with the limit of a boot it must have come."""
        begin = time.monotonic()
        result = self._up(self.bench.create("Instance", self.label, self.raw))
        BOOTS.append(f"{self.label}: {time.monotonic() - begin:.1f} s")
        assert not result.reasons or not self._waits_for_a_boot, result.reasons
        return result

    @property
    def _waits_for_a_boot(self) -> bool:
        return self.raw.get("waitTimeout") == f"{BOOT_S}s"

    def _up(self, result: Result, work: Work | None = None) -> Result:
        """The result; of a guest that hung in its boot that of a second one. (About one in 30 hangs, unexplained.)"""
        self.stored = result.stored
        if self._waits_for_a_boot and any(reason.startswith("no address after") for reason in result.reasons):
            BOOTS.append(f"{self.label}: hung, second try")
            self.domain.destroy()
            result = self.bench.update("Instance", self.read(), self.raw, work)
            self.stored = result.stored
        return result

    def start(self) -> int:
        """Start it as virsh would and wait for its lease, twice at most; how long the console was before."""
        for _ in range(2):
            at = len(self.console)
            self.domain.create()
            if self.console.find(LEASE.pattern, since=at, limit_s=BOOT_S):
                return at
            BOOTS.append(f"{self.label}: hung after {BOOT_S} s")
            self.domain.destroy()
        pytest.fail(f"the guest hung twice; it said {self.console.lines[-8:]}")

    def plan(self, **changes: Any) -> dict[str, str]:
        """The paths that an update would change and how."""
        from jvp.core.errors import dotted

        inputs = self.bench.inputs("Instance", {**self.raw, **changes})
        changed = self.bench.calls.diff("Instance", self.read(), inputs).changes
        return {dotted(change.path): change.effect.words for change in changed}

    def update(self, work: Work | None = None, **changes: Any) -> Result:
        """Change the declaration and apply it as an engine does: read, update; then nothing may be left to do."""
        raw = {name: value for name, value in {**self.raw, **changes}.items() if value is not None}
        result = self.bench.update("Instance", self.read(), raw, work)
        self.raw = raw
        result = self._up(result, work)
        if not result.reasons:
            self.settled()
        return result

    def settled(self) -> Stored:
        assert self.stored is not None
        read = self.read()
        inputs = self.bench.inputs("Instance", self.raw)
        assert self.bench.calls.diff("Instance", read, inputs).changes == ()
        assert steady(read.state) == steady(self.stored.state)
        assert read.inputs == inputs
        return read

    def read(self) -> Stored:
        assert self.stored is not None
        read = self.bench.read("Instance", self.stored)
        assert read is not None
        return read

    @property
    def state(self) -> dict[str, Any]:
        return self.read().state

    @property
    def domain(self) -> Any:
        assert self.stored is not None
        return self.bench.connection.lookupByUUIDString(self.stored.id)

    def close(self) -> None:
        self.console.close()
        if self.stored is not None:
            self.bench.delete("Instance", self.stored)


class Holder:
    """One guest for many tests. After a test that failed, the next one gets a fresh guest."""

    def __init__(self, make: Callable[[str], Guest]) -> None:
        self._make, self._numbers = make, itertools.count()
        self._guest: Guest | None = None
        self.broken = False

    def guest(self) -> Guest:
        if self.broken:
            self.close()
        if self._guest is None:
            self.broken = True
            self._guest = self._make(f"live{next(self._numbers)}")
            self._guest.create()
            self.broken = False
        return self._guest

    def close(self) -> None:
        guest, self._guest = self._guest, None
        if guest is not None:
            guest.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    holder = getattr(item, "funcargs", {}).get("holder")
    if report.failed and holder is not None:
        holder.broken = True
    return report


@pytest.fixture(scope="session")
def kernel() -> dict[str, str]:
    """The micro guest's kernel, built once per state of its sources."""
    from tests.lab.micro.build import CMDLINE, build

    try:
        guest = build()
    except Exception as error:
        pytest.skip(f"the micro guest cannot be built here: {type(error).__name__}: {error}")
    return {"kernel": str(guest.vmlinux), "initrd": str(guest.initrd), "cmdline": CMDLINE}


@pytest.fixture(scope="session")
def lab(daemon: Any, prefix: str, run_folder: Path, cidrs: Callable[[], str]) -> Iterator[Bench]:
    """A bench with a pool and a NAT network."""
    from jvp.resources.provider import Provider
    from jvp.resources.registry import calls

    bench = Bench(calls(Provider(virt_type="qemu")), daemon, prefix, run_folder, cidrs)
    folder = {"name": bench.name("lab"), "path": f"{run_folder}/lab"}
    bench.pool = bench.create("StoragePool", "lab", folder).stored
    bench.network = bench.create("Network", "lab", {"name": bench.name("lab"), "cidr": cidrs()}).stored
    yield bench
    bench.delete("Network", bench.network)
    bench.delete("StoragePool", bench.pool)


@pytest.fixture
def volumes(lab: Bench) -> Iterator[list[Any]]:
    """Two volumes that a guest tells apart by their sizes, 8 and 16 MiB."""
    assert lab.pool is not None
    made = [
        lab.create("Volume", name, {"name": lab.name(name), "pool": lab.pool.id, "size": size}).stored
        for name, size in (("first", "8MiB"), ("second", "16MiB"))
    ]
    yield made
    for volume in made:
        lab.delete("Volume", volume)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    # pytest has loaded this file under another name than the tests import it by.
    from tests.lab.conftest import BOOTS as boots

    if boots:
        terminalreporter.section("boots of real guests")
        for line in boots:
            terminalreporter.write_line(line)
