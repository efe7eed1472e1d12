"""The real plugin as a process: its start, its arguments, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from pulumi_rpc import ROOT, Client, Engine, tell_a_thread

import jvp

Start = Callable[..., "subprocess.Popen[bytes]"]


def port_of(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read().decode() if process.stderr else ""
    return int(line)


@pytest.mark.parametrize(
    "arguments",
    [(), ("127.0.0.1:1",), ("--tracing", "tcp://127.0.0.1:5", "127.0.0.1:1"), ("--logtostderr", "-v=9", "127.0.0.1:1")],
)
def test_it_serves_whatever_the_arguments(plugin: Start, arguments: tuple[str, ...]) -> None:
    process = plugin(*arguments)
    client = Client(port_of(process))
    assert client("GetPluginInfo").version == jvp.__version__
    assert '"jvp:index:Network"' in client("GetSchema").schema
    client.close()


def test_the_port_is_there_in_a_moment(plugin: Start) -> None:
    times, floor = [], []
    for _ in range(5):
        start = time.monotonic()
        process = plugin()
        port_of(process)
        times.append(time.monotonic() - start)
        process.kill()
        start = time.monotonic()
        subprocess.run([sys.executable, "-c", "import grpc"], check=True)
        floor.append(time.monotonic() - start)
    # 0.1 s on a quiet machine; on a busy one what cannot be left out takes longer, too.
    assert min(times) < max(0.3, 2 * min(floor)), (times, floor)


def test_nothing_heavy_is_imported_before_the_port() -> None:
    heavy = (
        "pydantic", "libvirt", "lxml", "httpx", "pycdlib", "pulumi", "asyncio.events", "grpc.aio._call", "ast",
        "google.protobuf.descriptor_pb2", "google.protobuf.internal.decoder",
    )  # fmt: skip
    code = f"import sys, jvp.doors.pulumi.plugin; print([name for name in {heavy!r} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "provider")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_pulumi_package_is_never_imported() -> None:
    code = (
        "import sys, jvp.doors.pulumi.plugin as p, jvp.doors.pulumi.session as s; p.registered(s.Session());"
        "print([name for name in sys.modules if name == 'pulumi' or name.startswith('pulumi.')])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "provider")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("ignored", [False, True])
def test_a_signal_ends_it_even_one_that_was_ignored(plugin: Start, number: signal.Signals, ignored: bool) -> None:
    # A process of its own sets it: a fork of this one, which has gRPC's threads, may die before it becomes another.
    how = "SIG_IGN" if ignored else "SIG_DFL"
    code = f"import os, signal, sys; signal.signal({int(number)}, signal.{how}); os.execv(sys.argv[1], sys.argv[1:])"
    process = plugin(through=(sys.executable, "-c", code))
    port_of(process)
    process.send_signal(number)
    assert process.wait(timeout=30) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_a_signal_that_another_thread_gets_ends_it(plugin: Start) -> None:
    process = plugin()
    client = Client(port_of(process))
    client("GetPluginInfo")
    tell_a_thread(process, signal.SIGINT)
    assert process.wait(timeout=30) == 0


def test_it_ends_with_its_engine(plugin: Start, engine: Engine) -> None:
    process = plugin(f"127.0.0.1:{engine.port}")
    port_of(process)
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    assert process.wait(timeout=30) == 0


def test_a_process_to_attach_to_stays(plugin: Start) -> None:
    process = plugin(stdin=subprocess.DEVNULL)
    client = Client(port_of(process))
    for _ in range(2):
        client("Handshake", engine_address="127.0.0.1:1")
        client("Attach", address="127.0.0.1:1")
        client("Cancel")
    time.sleep(0.3)
    assert process.poll() is None
    client.close()


def test_the_log_says_what_happened_and_no_value(plugin: Start, tmp_path: Path) -> None:
    log = tmp_path / "jvp.log"
    process = plugin(env={"JVP_LOG": str(log)})
    client = Client(port_of(process))
    client("CheckConfig", urn="urn:pulumi:d::p::pulumi:providers:jvp::x", news={"uri": "hunter22"})
    client.close()
    process.terminate()
    process.wait(timeout=30)
    written = log.read_text()
    assert "CheckConfig urn:pulumi:d::p::pulumi:providers:jvp::x ok" in written
    assert "hunter22" not in written


def test_it_tells_its_version(plugin: Start) -> None:
    process = plugin("--version")
    assert process.stdout is not None
    assert process.stdout.read().decode().strip() == jvp.__version__


def test_grpc_says_nothing_in_the_processes_that_libvirt_forks(plugin: Start) -> None:
    process = plugin()
    client = Client(port_of(process))
    client("Configure", args={"uri": "qemu+ssh://nobody@127.0.0.1:1/system"}, acceptSecrets=True)
    for _ in range(5):
        with pytest.raises(grpc.RpcError, match="ssh"):
            client("Read", id="a", urn="urn:pulumi:s::p::jvp:index:Network::a", type="jvp:index:Network")
    client.close()
    process.terminate()
    assert process.communicate(timeout=60)[1] == b""


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_it_tells_a_person_what_it_is(plugin: Start, word: str) -> None:
    process = plugin(word)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said.decode().startswith("pulumi-resource-jvp is a plugin: pulumi starts it itself. Install it with")
