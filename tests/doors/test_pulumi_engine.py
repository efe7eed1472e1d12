"""The real engine against the gadget provider: what people see, and what the state holds afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gadget import Host
from pulumi_rpc import ROOT, within

from jvp.doors.pulumi.server import Service, serve

PATH = f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}"
TOOLS = [shutil.which(name, path=PATH) for name in ("pulumi", "pulumi-language-python")]

pytestmark = pytest.mark.skipif(None in TOOLS, reason="no pulumi with its Python host: `make setup` builds them")

PROJECT = {"name": "shop", "runtime": {"name": "python", "options": {"virtualenv": str(ROOT / ".venv")}}}
PROGRAM = """
import json, pathlib, pulumi

class Gadget(pulumi.CustomResource):
    def __init__(self, name, properties, options):
        outputs = {"uuid": None, "sizeBytes": None, "serial": None, "name": None}
        super().__init__("jvp:index:Gadget", name, {**outputs, **properties}, options)

made = {}
for name, spec in json.loads(pathlib.Path("resources.json").read_text()).items():
    options = pulumi.ResourceOptions(**spec.pop("options", {}))
    hidden = {key: pulumi.Output.secret(value) for key, value in spec.pop("secrets", {}).items()}
    links = {key: made[other].uuid for key, other in spec.pop("links", {}).items()}
    made[name] = Gadget(name, {**spec, **hidden, **links}, options)
    pulumi.export(name, made[name].uuid)
"""


class Stack:
    """A project on a backend in a folder, attached to a provider in this process."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        (folder / "state").mkdir()
        (folder / "Pulumi.yaml").write_text(json.dumps(PROJECT))
        (folder / "__main__.py").write_text(PROGRAM)
        self.environment = {
            **os.environ,
            "PATH": PATH,
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_DEBUG_PROVIDERS": f"jvp:{port}",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "1",
        }
        self("stack", "init", "dev")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [TOOLS[0] or "pulumi", *arguments, "--non-interactive"]
        # A test runner in the background hands down an ignored SIGINT; a shell in a terminal does not.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        with self.start(*arguments) as process:
            try:
                said, _ = process.communicate(timeout=180)
            finally:
                process.kill()
        assert (process.returncode != 0) == fails, said
        return said

    def program(self, **resources: Any) -> None:
        (self.folder / "resources.json").write_text(json.dumps(resources))

    def up(self, *arguments: str, fails: bool = False) -> str:
        return self("up", "--yes", "--skip-preview", *arguments, fails=fails)

    def nothing_to_do(self) -> None:
        self("preview", "--expect-no-changes")

    def states(self) -> dict[str, Any]:
        checkpoint = json.loads((self.folder / "state/.pulumi/stacks/shop/dev.json").read_text())["checkpoint"]
        resources = (checkpoint.get("latest") or {}).get("resources") or []
        return {one["urn"].rpartition("::")[2]: one for one in resources if one["type"] == "jvp:index:Gadget"}


@pytest.fixture
def stack(service: Service, tmp_path: Path) -> Iterator[Stack]:
    server, port = serve(service)
    yield Stack(tmp_path, port)
    server.stop(0).wait()
    service.load().reporter.close()


def test_a_life(stack: Stack, host: Host) -> None:
    stack.program(a={"size": "2GiB", "slots": [{"name": "s"}], "secrets": {"password": "hunter22"}})
    stack.up()
    stack.nothing_to_do()
    state = stack.states()["a"]
    assert state["refreshBeforeUpdate"]
    assert "hunter22" not in json.dumps(state)
    assert state["id"] in host.gadgets

    stack.program(a={"size": "2048MiB", "slots": [{"name": "s"}], "secrets": {"password": "hunter22"}})
    stack.nothing_to_do()

    stack.program(a={"size": "3GiB", "slots": [{"name": "s", "note": "n"}], "secrets": {"password": "hunter22"}})
    said = stack("preview", "--diff")
    assert re.search(r'~ size +: "2GiB" => "3GiB"', said) or re.search(r'~ size +: "2048MiB" => "3GiB"', said)
    assert '+ note: "n"' in said
    stack.up()
    stack.nothing_to_do()
    stack("destroy", "--yes", "--skip-preview")
    assert host.gadgets == {}


def test_drift_is_seen_and_mended_without_a_flag(stack: Stack, host: Host) -> None:
    stack.program(a={"speed": 3})
    stack.up()
    (uuid,) = host.gadgets
    host.gadgets[uuid]["speed"] = 5
    assert re.search(r"~ speed: 5 => 3", stack("preview", "--diff"))
    stack.up()
    assert host.gadgets[uuid]["speed"] == 3
    host.gadgets.clear()
    assert "1 to create" in stack("preview")


def test_refresh_shows_drift(stack: Stack, host: Host) -> None:
    stack.program(a={"speed": 3})
    stack.up()
    (uuid,) = host.gadgets
    host.gadgets[uuid]["speed"] = 5
    assert re.search(r"~ speed: 3 => 5", stack("refresh", "--yes", "--skip-preview", "--diff"))
    assert stack.states()["a"]["inputs"]["speed"] == 5


def test_wrong_inputs_are_shown_with_their_paths_and_no_secret(stack: Stack) -> None:
    stack.program(a={"speed": "q", "slots": [{"name": "s", "mac": "zz"}], "secrets": {"mode": "hunter22"}})
    said = stack("preview", fails=True)
    assert 'property speed value {q} has a problem: must be a whole number, not "q"' in said
    assert 'has a problem: slots[0].mac: "zz" is not a MAC address' in said
    assert "has a problem: mode: must be one of 'fast' or 'slow', not that" in said
    assert "<nil>" not in said
    assert "hunter22" not in said


def test_errors_are_shown_as_they_are_and_no_state_is_said_to_be_corrupt(stack: Stack) -> None:
    acts = ("unreachable", "busy", "taken", "full", "refused", "defect")
    stack.program(**{act: {"act": act, "secrets": {"password": "hunter22"}} for act in acts})
    said = stack.up("--continue-on-error", fails=True)
    for act in acts:
        told = "please report it" if act == "defect" else f'error: act: the host said "{act}" and mentioned [secret]'
        assert told in said
    assert "hunter22" not in said
    assert "corrupt" not in said
    assert stack.states() == {}


def test_unfinished_is_kept_and_updated_until_it_is_finished(stack: Stack, host: Host) -> None:
    stack.program(a={"act": "partial"})
    assert "the gadget does not answer" in stack.up(fails=True)
    assert stack.states()["a"]["initErrors"] == ["the gadget does not answer, said nothing"]
    host.calls.clear()
    assert "1 to update" in stack("preview")
    assert "the gadget does not answer" in stack.up(fails=True)
    assert host.calls == ["read", "read", "update"]
    stack.program(a={})
    stack.up()
    assert not stack.states()["a"].get("initErrors")
    stack.nothing_to_do()


def test_a_replacement_deletes_first_and_takes_its_dependants_along(stack: Stack, host: Host) -> None:
    stack.program(a={"name": "one"}, b={"links": {"home": "a"}})
    stack.up()
    host.calls.clear()
    stack.program(a={"name": "two"}, b={"links": {"home": "a"}})
    stack.up()
    assert [call for call in host.calls if call != "read"] == ["delete", "delete", "create", "create"]
    stack.nothing_to_do()


def test_import_by_name_twice_keeps_the_object(stack: Stack, host: Host) -> None:
    stack.program(a={"name": "mine", "size": "2GiB"})
    stack.up()
    stack("state", "delete", stack.states()["a"]["urn"], "--yes")
    stack("import", "jvp:index:Gadget", "a", "mine", "--yes", "--generate-code=false", "--protect=false")
    stack.nothing_to_do()
    # The engine takes this for a replacement, and would delete "the original".
    stack.program(a={"name": "mine", "size": "2GiB", "options": {"import_": "mine"}})
    assert "it is not deleted" in stack.up()
    assert len(host.gadgets) == 1
    stack.nothing_to_do()


def test_an_object_that_is_only_read_is_left_alone(stack: Stack, host: Host) -> None:
    stack.program(a={"name": "mine"})
    stack.up()
    uuid = stack.states()["a"]["id"]
    stack.program(a={"name": "mine"}, b={"options": {"id": "mine"}}, c={"links": {"home": "b"}})
    stack.up()
    assert stack.states()["c"]["outputs"]["home"] == uuid
    stack.program(a={"name": "mine"})
    stack.up()
    assert uuid in host.gadgets
    stack.nothing_to_do()


def test_ctrl_c_stops_at_once_and_keeps_what_exists(stack: Stack, host: Host) -> None:
    stack.program(w={"act": "wait"}, h={"act": "hang"})
    with stack.start("up", "--yes", "--skip-preview") as process:
        within(90, lambda: host.gadgets and len(host.calls) == 2)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=90)
    assert "w creating" in said
    assert "error: stopped on request; run the command again and it goes on from here" in said
    assert re.search(r"w creating \(\d+s\) step \d+", said)
    assert list(stack.states()) == ["h"]


def test_a_pattern_for_names_is_honoured(stack: Stack) -> None:
    (stack.folder / "Pulumi.yaml").write_text(
        json.dumps({**PROJECT, "config": {"pulumi:autonaming": {"value": {"pattern": "lab-${name}"}}}})
    )
    stack.program(a={})
    stack.up()
    assert stack.states()["a"]["outputs"]["name"] == "lab-a"
    stack.nothing_to_do()
