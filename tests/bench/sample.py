"""What one command of an engine took: wall-clock time, processor time and memory of the provider, its launches.

A provider's processor time is asked of the kernel where that is exact: an engine's children that it waited for, and the
warm process with its children. Pulumi has other children, too, so there the provider's own processes are looked at
while they run, which misses what a launch did in its last hundredth of a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
LOOK_S = 0.01
MEMORY_EVERY = 5
"""Looks between two at the memory, which take longer."""
LIMIT_S = 600.0
QUIET_S = 5.0


class Failed(Exception):
    """A command that ended with an error; its text is what it said last."""


@dataclass(frozen=True)
class Sample:
    """One command."""

    seconds: float
    cpu: float = 0.0
    """Seconds of the provider's processes, all launches together."""
    launches: int = 0
    memory: float = 0.0
    """MiB that one of them had for itself alone (USS), at most."""
    shared: float = 0.0
    """MiB of one of them with its part of what is shared (PSS), at most."""
    ended: float = 0.0
    """`time.monotonic()` at its end."""


@dataclass(frozen=True)
class Memory:
    """MiB of a process: for itself alone, with its part of what is shared, and all that is mapped."""

    uss: float = 0.0
    pss: float = 0.0
    rss: float = 0.0

    @classmethod
    def of(cls, pid: int) -> Memory:
        """As the kernel says now; nothing where there is no such process."""
        try:
            return cls.parsed(Path(f"/proc/{pid}/smaps_rollup").read_text())
        except OSError:
            return cls()

    @classmethod
    def parsed(cls, text: str) -> Memory:
        """From the text of smaps_rollup. Source: proc(5)."""
        lines = (line.split() for line in text.splitlines())
        kib = {words[0]: int(words[1]) for words in lines if len(words) == 3 and words[2] == "kB"}
        private = kib.get("Private_Clean:", 0) + kib.get("Private_Dirty:", 0)
        return cls(private / 1024, kib.get("Pss:", 0) / 1024, kib.get("Rss:", 0) / 1024)


@dataclass(frozen=True)
class Times:
    """Seconds of processor time: a process' own, and its children's that it waited for."""

    own: float = 0.0
    children: float = 0.0

    @classmethod
    def of(cls, pid: int) -> Times:
        """Also of a process that has ended and was not waited for yet; nothing where there is none."""
        try:
            return cls.parsed(Path(f"/proc/{pid}/stat").read_text())
        except OSError:
            return cls()

    @classmethod
    def parsed(cls, text: str) -> Times:
        """From the text of stat, where a name may hold anything. Source: proc(5)."""
        fields = text.rpartition(")")[2].split()
        user, system, children_user, children_system = map(int, fields[11:15])
        return cls((user + system) / TICKS, (children_user + children_system) / TICKS)


@dataclass
class _Looks:
    """What was seen of the provider's processes while a command ran."""

    starts: Path
    warm: Sequence[int]
    times: dict[int, float] = field(default_factory=dict)
    memory: float = 0.0
    shared: float = 0.0

    def until(self, over: threading.Event) -> None:
        count = 0
        while not over.wait(LOOK_S):
            started = launched(self.starts)
            for pid in started:
                self.times[pid] = max(self.times.get(pid, 0.0), Times.of(pid).own)
            if count % MEMORY_EVERY == 0:
                for pid in (*started, *(children(self.warm) if self.warm else ())):
                    found = Memory.of(pid)
                    self.memory, self.shared = max(self.memory, found.uss), max(self.shared, found.pss)
            count += 1


def measured(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], starts: Path, *, only_child: bool
) -> tuple[Sample, str]:
    """Run one command to its end: what it took and what it said. Raises Failed.

    `starts` is where the provider's launcher writes a line with its process' number. `only_child`: the engine starts
    nothing but providers.
    """
    starts.unlink(missing_ok=True)
    runtime = environment.get("XDG_RUNTIME_DIR")
    warm = warm_processes(runtime)
    before = sum(_all(pid) for pid in warm)
    looks, over = _Looks(starts, warm), threading.Event()
    watch = threading.Thread(target=looks.until, args=(over,))
    watch.start()
    try:
        seconds, ended, reaped, code, said = _run(command, folder, environment)
    finally:
        over.set()
        watch.join()
    if code:
        raise Failed(said)
    after = sum(_all(pid) for pid in quiet(runtime))
    cpu = (reaped if only_child else sum(looks.times.values())) + max(0.0, after - before)
    return Sample(seconds, cpu, len(launched(starts)), looks.memory, looks.shared, ended), said


def _run(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]
) -> tuple[float, float, float, int, str]:
    """Seconds, the end, the children's processor time, the exit code, and what was said."""
    log = folder / "said"
    with log.open("w") as out:
        begin = time.monotonic()
        process = subprocess.Popen(
            [*map(str, command)], cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    limit = threading.Timer(LIMIT_S, os.killpg, (process.pid, signal.SIGKILL))
    limit.start()
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        ended = time.monotonic()
        children = Times.of(process.pid).children
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)  # a Ctrl-C, which it did not get: it is a session of its own
        raise
    finally:
        limit.cancel()
        limit.join()
        code = process.wait()
    return ended - begin, ended, children, code, log.read_text(errors="replace")


def launched(starts: Path) -> tuple[int, ...]:
    """The processes of the provider that were started, by what its launcher wrote."""
    try:
        return tuple(int(line) for line in starts.read_text().split("\n")[:-1])
    except FileNotFoundError:
        return ()


def warm_processes(runtime: str | None) -> tuple[int, ...]:
    """The warm processes whose sockets are below this runtime folder."""
    found = []
    for entry in Path("/proc").iterdir() if runtime else ():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"jvp.warm.process" in words and any(word.startswith(os.fsencode(f"{runtime}/")) for word in words):
                # Its children have its command line.
                found.append(int(entry.name))
    return tuple(pid for pid in found if _parent(pid) not in found)


def quiet(runtime: str | None) -> tuple[int, ...]:
    """The warm processes, once they have no children: those of a launcher that was killed end a moment later."""
    end = time.monotonic() + QUIET_S
    while (found := warm_processes(runtime)) and children(found) and time.monotonic() < end:
        time.sleep(LOOK_S)
    return found


def children(parents: Sequence[int]) -> list[int]:
    """Processes whose parents these are."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if _parent(pid) in parents]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _all(pid: int) -> float:
    times = Times.of(pid)
    return times.own + times.children
