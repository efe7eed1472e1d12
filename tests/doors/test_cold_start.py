"""What a plugin that is started plainly does not import: a call brings in what it needs and no more.

Engines start a plugin several times for one command, and ask most of these processes for little.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pulumi_rpc import ROOT
from tools import gen_schemas

from jvp.core.errors import Rejected
from jvp.doors.pulumi import plugin as pulumi
from jvp.doors.terraform import schemas

HOST = ("libvirt", "lxml", "jvp.libvirt", "jvp.images")
"""What only a call that asks the host needs."""
MODELS = ("pydantic", "jvp.resources", *HOST)

PULUMI = """
import sys
from unittest import mock
from jvp.doors.pulumi import plugin, protocol, server
service = server.Service(plugin.registered, plugin.schema)
def ask(name, **given):
    (method,) = [one for one in protocol.methods(protocol.PROVIDER) if one.name == name]
    return service.method(name)(protocol.message(method.input_type.full_name)(**given), mock.Mock())
"""
TERRAFORM = """
import sys, functools
from jvp.doors.terraform import plugin, protocol, schemas, server
ready = schemas.stored()
service = server.Service(functools.partial(plugin.registered, ready), ready)
def ask(name, **given):
    (method,) = [one for one in protocol.methods(protocol.PROVIDER) if one.name == name]
    answer = service.method(name)(protocol.message(method.input_type.full_name)(**given))
    assert not getattr(answer, "diagnostics", None), answer.diagnostics
    return answer
"""


def imported(program: str, modules: tuple[str, ...]) -> list[str]:
    """Those of the modules that a Python with this program has imported in the end."""
    program += f"\nprint(*[name for name in {modules!r} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "provider")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("name", ["Handshake", "Attach", "GetPluginInfo", "GetMapping", "GetSchema", "Cancel"])
def test_what_pulumi_asks_of_every_plugin_needs_no_models(name: str) -> None:
    assert imported(f"{PULUMI}\nask({name!r})", MODELS) == []


@pytest.mark.parametrize("name", schemas.CALLS)
def test_what_terraform_asks_of_the_schemas_needs_no_models(name: str) -> None:
    assert imported(f"{TERRAFORM}\nask({name!r})", MODELS) == []


def test_the_stored_schemas_are_those_of_the_models() -> None:
    assert {file: file.read_bytes() for file in (pulumi.SCHEMA, schemas.FILE)} == gen_schemas.fresh()
    assert pulumi.SCHEMA.read_bytes() == (ROOT / "schema.json").read_bytes()


@pytest.mark.parametrize("file", [pulumi.SCHEMA, schemas.FILE], ids=lambda file: file.suffix)
def test_a_stored_schema_that_is_missing_is_an_incomplete_installation(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pulumi, "SCHEMA", tmp_path / file.name)
    monkeypatch.setattr(schemas, "FILE", tmp_path / file.name)
    ask = pulumi.schema if file.suffix == ".json" else (lambda: schemas.stored().whole)
    with pytest.raises(Rejected, match=f"{file.name} cannot be read .*; install pulumi-jvp"):
        ask()
