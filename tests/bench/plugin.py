"""The plugin as a process: how soon it answers, and how much memory it takes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from bench.table import Row, median, timed

PLUGIN = Path(sys.prefix) / "bin/pulumi-resource-jvp"
RUNS = 9


def _ask(channel: grpc.Channel, method: str) -> None:
    """A call with an empty request, which is what no bytes mean."""
    call: Any = channel.unary_unary(f"/pulumirpc.ResourceProvider/{method}")
    call(b"", timeout=10)


def start() -> tuple[float, float, float]:
    """Seconds to the port and to the answered Handshake; MiB a moment later, with the models loaded."""
    begin = time.monotonic()
    process = subprocess.Popen([PLUGIN, "127.0.0.1:1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        port = int(process.stdout.readline())
        printed = time.monotonic() - begin
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            _ask(channel, "Handshake")
            answered = time.monotonic() - begin
            _ask(channel, "GetSchema")
        memory = mib(process.pid, "VmRSS")
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    return printed, answered, memory


def rows() -> Iterator[Row]:
    """Of the plugin alone."""
    start()
    found = [start() for _ in range(RUNS)]
    imports = median(timed(lambda: subprocess.run([sys.executable, "-c", "import grpc"], check=True)) for _ in range(5))
    printed, answered, memory = zip(*found, strict=True)
    yield Row("exec to port", median(printed) * 1000, "ms", 150, imports * 1000, "import grpc alone")
    yield Row("exec to handshake", median(answered) * 1000, "ms", 150, imports * 1000, "import grpc alone")
    yield Row("exec to handshake, the slowest", max(answered) * 1000, "ms", 300, imports * 1000, "import grpc alone")
    yield Row("plugin memory, start", median(memory), "MiB", 60)


class Peak:
    """The most memory that any plugin had while this watched."""

    mib = 0.0


@contextmanager
def watched() -> Iterator[Peak]:
    """Watch the plugins of an engine."""
    peak, over = Peak(), threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            for pid in _plugins():
                peak.mib = max(peak.mib, mib(pid, "VmHWM"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def _plugins() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(PLUGIN) in (entry / "cmdline").read_text():
                    yield int(entry.name)
            except OSError:
                continue


def mib(pid: int, field: str) -> float:
    """What /proc says of a process' memory."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), 0.0)
