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
from jvp.doors.terraform import plugin as terraform
from jvp.doors.terraform import schemas
from jvp.warm import launcher

HOST = ("libvirt", "lxml", "jvp.libvirt.link.node", "jvp.images.http", "jvp.resources.instance.functions")
"""What only a call that asks the host needs."""
MODELS = ("pydantic", "jvp.resources", *HOST)
UUID = "8c1e6b2e-0c5b-4c0e-9f0a-0e9b1c5d7a11"
DECLARED = {
    "jvp_storage_pool": {"name": "a"},
    "jvp_template": {"name": "a", "pool": "p", "source": {"url": "https://example.com/image"}},
    "jvp_volume": {"name": "a", "pool": "p", "size": "1MiB"},
    "jvp_network": {"name": "a", "cidr": "10.9.0.0/24"},
    "jvp_firewall": {"name": "a"},
    "jvp_instance": {"name": "a", "iso": "p/cd"},
    "jvp_snapshot": {"name": "a", "instance": "i"},
}
OF_KINDS = tuple(f"jvp.resources.{name}" for name in (
    "storage.pool_model", "storage.template_model", "storage.volume_model", "network.model", "firewall.model",
    "instance.model",
    "snapshot.model",
))  # fmt: skip
"""Their models, in the same order."""

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
import functools, json, sys
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


@pytest.mark.parametrize(("more", "again"), [({}, False), ({"PYTHONPATH": str(ROOT / "provider")}, True)])
def test_an_installed_launcher_starts_python_again_only_where_the_environment_asks_for_it(
    more: dict[str, str], again: bool
) -> None:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    told = {**ours, **dict([terraform.COOKIE]), "JVP_WARM": "off", **more}
    command = [sys.executable, "-IS", launcher.SCRIPT, "terraform"]
    with subprocess.Popen(command, env=told, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("1|6|unix|")
            runs = Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")
        finally:
            process.terminate()
    assert ("-m" in runs, launcher.SCRIPT in runs) == (again, not again)


def test_packages_do_not_hide_what_python_brings_along(tmp_path: Path) -> None:
    """Our own folder is one of installed packages, of which some are called like a module of Python."""
    (tmp_path / "jvp").symlink_to(ROOT / "provider" / "jvp")
    (tmp_path / "json.py").write_text("raise ImportError('not this one')")
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-IS", str(tmp_path / "jvp" / "warm" / "launcher.py"), "terraform"]
    told = {**ours, **dict([terraform.COOKIE]), "JVP_WARM": "off"}
    with subprocess.Popen(command, env=told, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("1|6|unix|")
        finally:
            process.terminate()


@pytest.mark.parametrize("there", [True, False])
def test_who_has_packages_of_their_own_beside_the_machines_start_python_again(
    there: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import site

    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(sys, "path", [str(ROOT / "provider"), *sys.path])
    monkeypatch.setattr(site, "main", lambda: None)
    monkeypatch.setattr(site, "PREFIXES", [sys.base_prefix])
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(tmp_path if there else tmp_path / "none"))
    assert launcher._find_packages() is not there


CONFIGURED = {
    "pulumi": """
ask("CheckConfig")
ask("DiffConfig")
ask("Configure")
""",
    "terraform": """
from jvp.doors.terraform import values
null = ready.whole.provider.block.attributes
empty = values.encode({one.name: None for one in null})
ask("ValidateProviderConfig", config=empty)
ask("ConfigureProvider", config=empty)
""",
}


@pytest.mark.parametrize(("door", "start"), [("pulumi", PULUMI), ("terraform", TERRAFORM)])
def test_settings_need_no_resource_and_nothing_that_works_on_a_host(door: str, start: str) -> None:
    assert imported(f"{start}\n{CONFIGURED[door]}", (*HOST, *OF_KINDS)) == []


@pytest.mark.parametrize("kind", DECLARED)
def test_what_terraform_asks_of_a_kind_offline_needs_its_model_alone(kind: str) -> None:
    """Of the processes that it starts for one command, one checks the configuration, and one reads old states."""
    program = f"""{TERRAFORM}
from jvp.doors.terraform import values
def filled(**given):
    return {{**{{one.name: None for one in ready.resource({kind!r})}}, **given}}
given = {DECLARED[kind]!r}
ask("ValidateResourceConfig", type_name={kind!r}, config=values.encode(filled(**given)))
request = protocol.message("UpgradeResourceState.Request")(type_name={kind!r}, version=2)
request.raw_state.json = json.dumps(filled(id={UUID!r}, **given)).encode()
answer = service.method("UpgradeResourceState")(request)
assert not answer.diagnostics, answer.diagnostics
"""
    own = OF_KINDS[[*DECLARED].index(kind)]
    assert imported(program, (*HOST, *OF_KINDS)) == [own]


@pytest.mark.parametrize(
    "words", [["--help"], ["completion", "bash"], ["warm", "status"], ["token", "--help"], ["events", "--help"]]
)
def test_a_command_that_asks_no_node_needs_no_models(words: list[str]) -> None:
    program = f"""
import contextlib, io, sys
from jvp.doors.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main({words!r})
"""
    found = imported(program, ("pydantic", "yaml", "rich", "grpc", "sqlalchemy", "jvp.core.calls", *HOST, *OF_KINDS))
    assert found == []


@pytest.mark.parametrize("terminal", [False, True])
def test_rich_is_imported_for_what_is_drawn_on_a_terminal_alone(terminal: bool) -> None:
    program = f"""
import io, sys
from jvp.core.work import Progress
from jvp.doors.cli import output
from jvp.doors.cli.session import Lines
class Out(io.StringIO):
    def isatty(self):
        return {terminal}
real, sys.stdout, sys.stderr = sys.stdout, Out(), Out()
if not {terminal}:
    output.table(["name"], [{{"name": "a"}}])
    output.properties({{"name": "a"}})
    Lines().progress(Progress("copying", 1, 2, "copying 50%"))
output.structured({{"name": "a"}}, "json")
output.structured({{"name": "a"}}, "yaml")
assert "rich" not in sys.modules
output.table(["name"], [{{"name": "a"}}])
sys.stdout = real
"""
    assert imported(program, ("rich",)) == ["rich"] * terminal


def test_a_process_that_forks_plugins_has_imported_and_built_all() -> None:
    program = f"""
import importlib, sys
from jvp.warm.process import IMPORTED
for module in IMPORTED:
    importlib.import_module(module)
before = set(sys.modules)
from jvp.core.model import Spec
from jvp.resources import registry
from jvp.resources.provider import Provider
calls = registry.calls(Provider())
for made in (calls.handlers, calls.functions):
    assert [*made.values()]
def unbuilt(model):
    for one in model.__subclasses__():
        yield from () if one.__pydantic_complete__ else (one.__name__,)
        yield from unbuilt(one)
new = sorted({{*sys.modules}} - before)
assert not new, new
assert not [*unbuilt(Spec)], [*unbuilt(Spec)]
{PULUMI.replace("import sys", "")}
{CONFIGURED["pulumi"]}
ask("GetSchema")
{TERRAFORM}
{CONFIGURED["terraform"]}
ask("GetProviderSchema")
new = sorted(name for name in {{*sys.modules}} - before if not name.startswith(("unittest", "asyncio")))
assert not [name for name in new if name.startswith(("jvp", "pydantic", "grpc", "google"))], new
"""
    functions = "jvp.resources.instance.functions"
    assert imported(program, (functions,)) == [functions]


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
