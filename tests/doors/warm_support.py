"""The toy of `warmtoy` started by its launcher, in a runtime folder of a test's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi_rpc import ROOT
from tests.starting import gone

from jvp.warm.ask import Running, ask

HERE = Path(__file__).parent
LIMIT_S = 30.0
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder of this test's own; whatever warm process runs there ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="jvpt-"))  # short: a socket's path must be
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.delenv("JVP_WARM", raising=False)
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{ROOT / 'provider'}")
    yield folder
    for one in list(ask("stop")):
        gone(one.pid)
    shutil.rmtree(folder)


@pytest.fixture
def start(runtime: Path) -> Iterator[Start]:
    """Starts the toy by its launcher."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*words: str, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "warmtoy", "launch", *words]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, **options))
        return started[-1]

    yield begin
    for one in started:
        one.kill()
        one.communicate()


def told(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()
    return dict(json.loads(line))


def warmed(start: Start, **options: Any) -> Running:
    """Start once, and wait for the warm process that this leaves behind."""
    first = start("exit", "0", **options)
    told(first)
    assert first.wait(LIMIT_S) == 0
    end = time.monotonic() + LIMIT_S
    while not (found := list(ask("status"))):
        assert time.monotonic() < end, "no warm process came"
        time.sleep(0.02)
    return found[0]


def launches() -> int:
    return sum(one.launches for one in ask("status"))
