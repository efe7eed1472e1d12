"""A provider as a process of its own: how soon it answers, and the warm process that it may be forked from."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import grpc

from bench.contestants import Contestant
from bench.engines import Engine
from bench.sample import Failed, Memory, Sample, quiet, warm_processes

COOKIE = {"TF_PLUGIN_MAGIC_COOKIE": "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"}
HOST = {**COOKIE, "PLUGIN_CLIENT_CERT": "a host's", "PLUGIN_PROTOCOL_VERSIONS": "5,6"}
"""The provider makes a certificate of its own where the host has one; it does not read the host's."""
PATIENCE_S = 10.0


def measure(contestant: Contestant, environment: Mapping[str, str]) -> Sample:
    """From the start to the answered handshake. Raises Failed."""
    return (_terraform if contestant.engine == "tofu" else _pulumi)(contestant, environment)


def _terraform(contestant: Contestant, environment: Mapping[str, str]) -> Sample:
    """To the line on stdout, certificate and all."""
    begin = time.monotonic()
    process = subprocess.Popen(
        contestant.command, env={**environment, **HOST}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        seconds = time.monotonic() - begin
        if not line.startswith(b"1|"):
            raise Failed("it does not start alone")
        return Sample(seconds)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def _pulumi(contestant: Contestant, environment: Mapping[str, str]) -> Sample:
    """To the answered Handshake; that an older provider knows no such call is an answer, too."""
    begin = time.monotonic()
    process = subprocess.Popen(
        [*contestant.command, "127.0.0.1:1"], env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        port = process.stdout.readline().strip().decode(errors="replace")
        if not port.isdecimal():
            raise Failed("it does not start alone")
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.unary_unary("/pulumirpc.ResourceProvider/Handshake")
            try:
                call(b"", timeout=PATIENCE_S)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                    raise Failed(f"it answers no handshake: {error.code().name}") from None
            return Sample(time.monotonic() - begin)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def import_grpc() -> None:
    """What a provider in Python cannot go below when it starts plainly."""
    subprocess.run([sys.executable, "-c", "import grpc"], check=True)


def cold(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which JVP starts plainly."""
    return {**environment, "JVP_WARM": "off"}


def wait_for_warm(racer: Engine) -> None:
    """Have a warm process there, as after any command of the last minute; not where JVP_WARM says off."""
    measure(racer.contestant, racer.environment)
    if is_cold(racer.environment):
        return
    sockets = racer.runtime / "jvp-warm"
    end = time.monotonic() + PATIENCE_S
    while not any(path.suffix != ".lock" for path in sockets.glob("*")) and time.monotonic() < end:
        time.sleep(0.02)


def is_cold(environment: Mapping[str, str]) -> bool:
    """Whether the user has switched the warm start off for the race."""
    return environment.get("JVP_WARM", "").lower() in ("off", "0", "no", "false")


def held(racer: Engine) -> Sample:
    """The memory of the warm process, once it is alone: its children have a part of what they share with it.

    `launches` is how many warm processes there are: one, where the engine starts the provider in our surrounding.
    """
    found = [Memory.of(pid) for pid in quiet(str(racer.runtime))]
    return Sample(0.0, 0.0, len(found), sum(one.uss for one in found), sum(one.pss for one in found))


def stop(racer: Engine) -> None:
    """End the warm process that the race has started."""
    for pid in warm_processes(str(racer.runtime)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
