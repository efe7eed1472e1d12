"""Fixtures: the gadget provider over real gRPC for either engine, an engine that listens, the real plugins."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gadget
import pytest
import terraform_rpc
from pulumi_rpc import ROOT, Client, Engine

from jvp.doors.pulumi.server import Service, serve
from jvp.doors.terraform import server as terraform_server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.doors)


@pytest.fixture
def engine() -> Iterator[Engine]:
    listening = Engine()
    yield listening
    listening.server.stop(0).wait()


@pytest.fixture
def host() -> gadget.Host:
    return gadget.Host()


@pytest.fixture
def service(host: gadget.Host) -> Service:
    return Service(gadget.servicer(host))


@pytest.fixture
def fresh(service: Service) -> Iterator[Client]:
    """A client of a server that nobody spoke to yet."""
    server, port = serve(service)
    client = Client(port)
    yield client
    client.close()
    server.stop(0).wait()
    service.load().reporter.close()


@pytest.fixture
def provider(fresh: Client, engine: Engine) -> Client:
    """The same after what every engine says first."""
    fresh("Handshake", engine_address=f"127.0.0.1:{engine.port}", supports_refresh_before_update=True)
    fresh("Configure", args={}, acceptSecrets=True)
    return fresh


@pytest.fixture
def unconfigured(host: gadget.Host) -> Iterator[terraform_rpc.Engine]:
    """A host of Terraform's protocol beside the gadgets' server, which it told nothing yet."""
    with terraform_rpc.served(terraform_server.Service(lambda: gadget.terraform(host))) as engine:
        yield engine


@pytest.fixture
def terraform(unconfigured: terraform_rpc.Engine) -> terraform_rpc.Engine:
    """The same after it configured the provider."""
    assert unconfigured.configure(owner="me") == []
    return unconfigured


@pytest.fixture
def plugin() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts the real plugin for Pulumi as a process: arguments of the command, arguments of Popen."""
    yield from _starter("jvp.doors.pulumi.plugin")


@pytest.fixture
def terraform_plugin() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """The same for Terraform."""
    yield from _starter("jvp.doors.terraform.plugin")


@pytest.fixture
def terraform_gadget() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """The gadgets' provider for Terraform, likewise."""
    yield from _starter("gadget", "--terraform")


def _starter(module: str, *always: str) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        command = [*options.pop("through", ()), sys.executable, "-m", module, *always, *arguments]
        path = f"{ROOT / 'provider'}:{ROOT / 'tests' / 'doors'}"
        environment = {**os.environ, "PYTHONPATH": path, **options.pop("env", {})}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
