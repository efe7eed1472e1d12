"""How engines start the provider in a run: forked from a warm process, or plainly.

`JVP_TEST_START=warm` or `plain` says it for all tests. Else each test has a way of its own, drawn as the samples are.
What is marked `both_ways` (kills, interrupts, races, installations) has each of the two as often, and both of them in
`make test-all`.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests import extent

from jvp.warm import launcher
from jvp.warm.ask import Running, ask

WAYS = ("warm", "plain")
USUAL = (3, 1)
"""How often each of them is drawn where nothing depends on it: users start warm."""
LIMIT_S = 60.0
COOKIE = ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2")
SURE = 3
"""So many commands start the provider so often that a warm process has answered one of them in time, however busy."""
PROVIDER_COMMANDS = ("up", "preview", "refresh", "destroy", "import", "plan", "apply")
"""Commands of the engines for which each of them starts the provider."""


def given() -> str | None:
    """The way of all tests, where it is said. Raises UsageError."""
    way = os.environ.get("JVP_TEST_START") or None
    if way not in (None, *WAYS):
        raise pytest.UsageError(f"JVP_TEST_START must be one of {', '.join(WAYS)}, not {way!r}")
    return way


def ways(test: str, *, both: bool) -> list[str]:
    """Those in which the test of this name is tried."""
    if way := given():
        return [way]
    if both:
        return extent.sample(WAYS, f"start {test}", share=0.5, least=1)
    return random.Random(f"{extent.seed()} start {test}").choices(WAYS, USUAL)


def told() -> str:
    """One line for the head of the run."""
    if way := given():
        return f"engines start the provider {'from a warm process' if way == 'warm' else 'plainly'}"
    what = "in both ways" if extent.everything() else "in a way that is drawn"
    return (
        "engines start the provider warm or plainly, as each test's name says; kills, interrupts, races and "
        f"installations {what}; JVP_TEST_START=warm or plain tries one way only"
    )


@pytest.fixture(scope="session")
def warm_folder() -> Iterator[Path]:
    """A runtime folder of this run's own; whatever warm process is there ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="jvpt-"))  # short: a socket's path must be
    yield folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        for one in list(ask("stop")):
            gone(one.pid)
    shutil.rmtree(folder)


class Start:
    """The way of one test, and a count of the plugins that warm processes have forked since it began."""

    def __init__(self, way: str) -> None:
        self.way = way
        self._known = {one.pid: one.launches for one in ask("status")}
        self._launches = 0

    @property
    def is_warm(self) -> bool:
        return self.way == "warm"

    def launches(self) -> int:
        """Asked after each command, for a process that ends takes its own count with it."""
        for one in ask("status"):
            self._launches += one.launches - self._known.get(one.pid, 0)
            self._known[one.pid] = one.launches
        return self._launches

    def assert_kept(self, commands: int = SURE) -> None:
        """Of a test in which so many commands have started the provider: a warm process forked it, or none did."""
        count = self.launches()
        if self.is_warm and commands < SURE:
            return
        assert (count > 0) == self.is_warm, f"{count} plugins were forked from warm processes in a {self.way} test"


@pytest.fixture
def started(request: pytest.FixtureRequest, warm_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """The way of this test, for every engine that it starts with this process's environment."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(warm_folder))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    way: str = request.param
    if way == "warm":
        monkeypatch.delenv("JVP_WARM", raising=False)
        warm_up()
    else:
        monkeypatch.setenv("JVP_WARM", "off")
    return Start(way)


def warm_up(launch: Sequence[str] = (sys.executable, "-IS", launcher.SCRIPT), word: str = launcher.PROCESS) -> None:
    """A process waits for the test's next launch, left behind by a launch of the real plugin, as users' are."""
    if _running(word):
        return
    name, value = COOKIE
    process = subprocess.Popen(
        [*launch, "terraform"], env={**os.environ, name: value},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # As an engine starts it, though a test runner in the background hands down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )  # fmt: skip
    wait_for(word)
    process.terminate()
    process.communicate(timeout=LIMIT_S)


def wait_for(word: str) -> Running:
    """The warm process that has this word (its module, its interpreter) in its command line, once it listens."""
    end = time.monotonic() + LIMIT_S
    while not (found := _running(word)):
        assert time.monotonic() < end, "no warm process came"
        time.sleep(0.02)
    return found[0]


def _running(word: str) -> list[Running]:
    found = []
    for one in ask("status"):
        with contextlib.suppress(OSError):
            if word in Path(f"/proc/{one.pid}/cmdline").read_text().split("\0"):
                found.append(one)
    return found


def gone(pid: int) -> None:
    """Wait until the process has ended."""
    end = time.monotonic() + LIMIT_S
    while _state(pid) != "Z":
        assert time.monotonic() < end, f"process {pid} is still there"
        time.sleep(0.02)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
