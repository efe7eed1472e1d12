"""A resource and an action of somebody's own need one file and a line each in the registry, and are in every door."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pulumi_rpc import ROOT

FILE = '''
"""A lamp, which is only in memory."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jvp.core.action import Action
from jvp.core.declaration import Noted
from jvp.core.errors import NotFound
from jvp.core.facts import Output
from jvp.core.handler import Done, Handler, ResourceType
from jvp.core.identity import Mark
from jvp.core.listing import Item
from jvp.core.model import Spec

LAMPS = {}


class Lamp(Spec):
    """A lamp."""

    name: Annotated[str, Field(description="Its name.")]
    colour: Annotated[str, Field(description="Of its light.")] = "white"


class LampState(Lamp):
    """A lamp as it is."""

    blinks: Annotated[int, Output(), Field(description="How often it has blinked.")] = 0


class LampType(ResourceType):
    """Lamps."""

    kind, token, spec, state = "lamp", "Lamp", Lamp, LampState


class Lamps(LampType, Handler):
    """The verbs of lamps."""

    def __init__(self, node):
        pass

    def create(self, work, key, spec):
        LAMPS[key.uuid(0)] = [Mark.new(key, 0, work.declaration), LampState(**dict(spec))]
        return Done(key.uuid(0), LAMPS[key.uuid(0)][1])

    def read(self, work, object_id, prior):
        if object_id not in LAMPS:
            return None
        if prior is not None and not work.looks:
            LAMPS[object_id][0] = LAMPS[object_id][0].updated(None)
        return LAMPS[object_id][1]

    def update(self, work, object_id, prior, spec, changes):
        mark, lamp = LAMPS[object_id]
        LAMPS[object_id] = [mark.updated(work.key, work.declaration), lamp.model_copy(update=dict(spec))]
        return Done(object_id, LAMPS[object_id][1])

    def delete(self, work, object_id, prior):
        LAMPS.pop(object_id, None)

    def find(self, work, reference):
        for object_id, (_, lamp) in LAMPS.items():
            if reference in (object_id, lamp.name):
                return object_id
        raise NotFound(f"there is no lamp {reference}")

    def noted(self, work, object_id):
        return Noted.of(LAMPS[object_id][0], Lamp) if object_id in LAMPS else None

    def list(self, work, filters=None):
        return (Item.model_construct(id=object_id, name=lamp.name) for object_id, (_, lamp) in LAMPS.items())


class Blinking(Spec):
    """How it blinks."""

    times: Annotated[int, Field(description="How often.", ge=1)] = 1


class Blinked(Spec):
    """What came of it."""

    blinks: Annotated[int, Field(description="How often it has blinked in all.")]


class BlinkLamp(Action):
    """Lets a lamp blink."""

    token, on, word, args, result, effect = "blinkLamp", "Lamp", "blink", Blinking, Blinked, "wakes who sleeps"

    def __init__(self, node):
        pass

    def call(self, work, object_id, args):
        mark, lamp = LAMPS[object_id]
        LAMPS[object_id][1] = lamp.model_copy(update={"blinks": lamp.blinks + args.times})
        work.status("blinking")
        return Blinked(blinks=lamp.blinks + args.times)
'''
LINES = {
    "_TYPES = {": '    "Lamp": ("lamp.LampType", "lamp.Lamps"),',
    "_ACTIONS = {": '    "blinkLamp": ("lamp.BlinkLamp", "BlinkLamp"),',
}
REGISTERED = """
import importlib.util, json, sys
import jvp.resources
folder = sys.argv[1]
jvp.resources.__path__.append(folder)
spec = importlib.util.spec_from_file_location("jvp.resources.registry", folder + "/registry.py")
registry = importlib.util.module_from_spec(spec)
sys.modules["jvp.resources.registry"] = jvp.resources.registry = registry
spec.loader.exec_module(registry)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, and a registry with the two lines more."""
    found = tmp_path_factory.mktemp("toy")
    (found / "lamp.py").write_text(FILE)
    text = (ROOT / "provider" / "jvp" / "resources" / "registry.py").read_text()
    for table, line in LINES.items():
        assert text.count(f"{table}\n") == 1
        text = text.replace(f"{table}\n", f"{table}\n{line}\n")
    (found / "registry.py").write_text(text)
    return found


def told(folder: Path, program: str) -> Any:
    """What a program prints in which the lamp is registered."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'provider'}:{ROOT}"}
    command = [sys.executable, "-c", REGISTERED + program, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_in_both_engines_schemas(folder: Path) -> None:
    pulumi, terraform = told(folder, """
from jvp.doors.pulumi import schema
from jvp.doors.terraform.plugin import registered
whole = registered().schemas.whole
made = {name: [one.name for one in found.block.attributes] for name, found in whole.resource_schemas.items()}
print(json.dumps([schema.schema(registry.RESOURCES.values(), ()), [made, [*whole.data_source_schemas]]]))
""")  # fmt: skip
    lamp, blink = (pulumi["resources"][f"jvp:index:{name}"] for name in ("Lamp", "BlinkLamp"))
    assert (sorted(lamp["inputProperties"]), sorted(lamp["properties"])) == (
        ["colour", "name"], ["blinks", "colour", "name"],
    )  # fmt: skip
    assert sorted(blink["inputProperties"]) == ["lamp", "times", "triggers"]
    assert sorted(blink["properties"]) == ["blinks", "lamp", "request", "times", "triggers"]
    assert blink["description"].startswith("Lets a lamp blink. It acts when it is made, and anew when")
    resources, data_sources = terraform
    assert resources["jvp_lamp"] == ["adopt", "blinks", "colour", "id", "name", "timeouts", "unfinished"]
    assert resources["jvp_blink_lamp"] == [
        "blinks", "id", "lamp", "request", "timeouts", "times", "triggers", "unfinished",
    ]  # fmt: skip
    assert "jvp_lamp" in data_sources
    assert "jvp_blink_lamp" not in data_sources


def test_it_is_in_the_reference_of_both_engines(folder: Path) -> None:
    pages = told(folder, """
from tools import gen_docs, gen_pulumi_docs
found = {**gen_docs.pages(), **gen_pulumi_docs.pages()}
print(json.dumps({str(path): text for path, text in found.items() if "lamp" in path.name}))
""")  # fmt: skip
    assert sorted(str(Path(path).relative_to(ROOT / "docs")) for path in pages) == [
        "data-sources/lamp.md", "data-sources/lamps.md", "pulumi/functions/getlamps.md",
        "pulumi/resources/blinklamp.md", "pulumi/resources/lamp.md", "resources/blink_lamp.md", "resources/lamp.md",
    ]  # fmt: skip
    for path, text in pages.items():
        if "blink" in path:
            assert "It wakes who sleeps." in text
            assert "## Import" not in text


@pytest.mark.skipif(shutil.which("pulumi") is None, reason="Pulumi's generator of SDKs is not installed")
def test_it_is_in_the_sdk(folder: Path, tmp_path: Path) -> None:
    there = told(folder, f"""
from pathlib import Path
from jvp.doors.pulumi import schema
from tools import gen_sdk
gen_sdk.SCHEMA = Path({str(tmp_path)!r}) / "given.json"
gen_sdk.SCHEMA.write_text(schema.text(registry.RESOURCES.values(), registry.FUNCTIONS.values()))
made = gen_sdk.generate(Path({str(tmp_path)!r})) / "pulumi_jvp"
print(json.dumps([(made / "lamp.py").read_text(), (made / "blink_lamp.py").read_text()]))
""")  # fmt: skip
    for text, name in zip(there, ("Lamp", "BlinkLamp"), strict=True):
        assert f"class {name}(pulumi.CustomResource):" in text


def test_it_can_be_called_through_an_engine_and_without_one(folder: Path) -> None:
    state, acted, again, found, done, blinks = told(folder, """
from jvp.core.identity import DeclaredBy, Key
from jvp.core.work import Work
from jvp.resources.provider import Provider
calls, objects = registry.calls(Provider()), registry.objects(Provider())
calls.host = objects.host = lambda: "no host"
work, by = Work(), DeclaredBy("pulumi", "shop/dev")
made = calls.create("Lamp", Key("", "Lamp", "x", "x", by), calls.check("Lamp", {"name": "hall"}), work)
acts = {"lamp": "hall", "times": 2, "triggers": {"a": "1"}}
one = calls.create("BlinkLamp", Key("", "BlinkLamp", "y", "y", by), calls.check("BlinkLamp", acts), work).stored
new = {**acts, "triggers": {"a": "2"}}
read = calls.read("BlinkLamp", one, work)
two = calls.update("BlinkLamp", read, calls.check("BlinkLamp", new), work).stored
calls.delete("BlinkLamp", two, work)
own = objects.apply("Lamp", {"name": "porch", "colour": "red"}, work, by=DeclaredBy("cli"))
objects.plan("Lamp", None, {"name": "porch"}, work)
done = objects.act("blinkLamp", "porch", {"times": 3}, work)
got = [objects.get("Lamp", name, work) for name in ("hall", "porch")]
print(json.dumps([made.stored.state, one.state["blinks"], two.state["blinks"],
                  [[one.state, one.holder] for one in got], done, calls.act("blinkLamp", "hall", {}, work)]))
""")  # fmt: skip
    assert state == {"name": "hall", "colour": "white", "blinks": 0}
    assert (acted, again) == (2, 4)
    assert found == [
        [{"name": "hall", "colour": "white", "blinks": 4}, 'declared by the Pulumi stack "shop/dev"'],
        [{"name": "porch", "colour": "red", "blinks": 3}, None],
    ]
    assert (done, blinks) == ({"blinks": 3}, {"blinks": 5})


NOWHERE = """
from jvp.resources.provider import Provider
objects = registry.objects(Provider())
objects.host = lambda: "no host"
"""


def test_it_is_a_command(folder: Path) -> None:
    about, options, made, again, changed, listed, shown, acted, planned, gone = told(folder, NOWHERE + """
import contextlib, io
from jvp.doors.cli.main import main
registry.objects = lambda _: objects
def jvp(*words):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main(words)
    return printed.getvalue()
print(json.dumps([
    jvp("lamp", "--help"), jvp("lamp", "create", "--help"),
    jvp("lamp", "create", "porch", "--colour", "red"), jvp("lamp", "set", "porch", "--colour", "red"),
    jvp("lamp", "set", "porch", "--unset", "colour"), jvp("lamp", "list", "-o", "name"),
    json.loads(jvp("lamp", "show", "porch", "-o", "json")), jvp("lamp", "blink", "porch", "--times", "3"),
    jvp("lamp", "blink", "porch", "--plan"), jvp("lamp", "delete", "porch"),
]))
""")  # fmt: skip
    assert [word for word in ("list", "show", "create", "set", "delete", "blink") if word not in about] == []
    assert "lets a lamp blink" in about
    assert "--colour COLOUR" in options
    assert made == 'lamp "porch" created\n'
    assert again == 'lamp "porch" is as declared\n'
    assert changed == 'lamp "porch" changed: colour\n'
    assert listed == "porch\n"
    assert (shown["name"], shown["colour"], shown["blinks"]) == ("porch", "white", 0)
    assert acted == 'lamp "porch": 3\n'
    assert planned == 'lamp "porch": wakes who sleeps\n'
    assert gone == 'lamp "porch" deleted\n'


def test_it_is_in_the_rest_api(folder: Path) -> None:
    document, answers = told(folder, NOWHERE + """
import asyncio
import httpx
from jvp.doors.rest.app import make_app
from jvp.doors.rest.operations import Operations
app = make_app(objects, Provider(), Operations())
async def from_socket(scope, receive, send):
    await app({**scope, "state": {"peer": "user toy"}}, receive, send)
async def ask():
    found = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=from_socket), base_url="http://jvp/api") as client:
        document = (await client.get("/openapi.json")).json()
        for method, path, body in (
            ("POST", "/lamps", {"name": "porch", "colour": "red"}), ("POST", "/lamps", {"name": "porch"}),
            ("GET", "/lamps", None), ("PATCH", "/lamps/porch", {"colour": None}), ("GET", "/lamps/porch", None),
            ("POST", "/lamps/porch/actions/blink", {"times": 3}), ("POST", "/lamps/porch/actions/blink", {"times": 0}),
            ("POST", "/functions/getLamps", {}), ("DELETE", "/lamps/porch", None),
        ):
            waits = method != "GET" and path.startswith("/lamps")
            answer = await client.request(method, path, json=body, params={"wait": "30s"} if waits else {})
            found.append([answer.status_code, answer.json() if answer.content else None])
    return document, found
print(json.dumps(asyncio.run(ask())))
""")  # fmt: skip
    schemas = document["components"]["schemas"]
    assert {path: sorted(calls) for path, calls in document["paths"].items() if "amp" in path} == {
        "/api/lamps": ["get", "post"], "/api/lamps/{ref}": ["delete", "get", "patch", "put"],
        "/api/lamps/{ref}/actions/blink": ["post"], "/api/functions/getLamps": ["post"],
    }  # fmt: skip
    assert schemas["Lamp"]["properties"]["colour"]["description"] == "Of its light."
    assert sorted(schemas["LampObject"]["properties"]) == [
        "blinks", "colour", "declaredBy", "id", "name", "unfinished",
    ]  # fmt: skip
    assert schemas["Blinking"]["properties"]["times"]["description"] == "How often."

    assert [status for status, _ in answers] == [201, 409, 200, 200, 200, 200, 422, 200, 204]
    made, taken, listed, changed, read, acted, wrong, asked, _ = [body for _, body in answers]
    assert (made["name"], made["colour"], made["declaredBy"]["door"]) == ("porch", "red", "rest")
    assert taken["type"] == "urn:jvp:name-taken"
    assert [one["name"] for one in listed["items"]] == ["porch"]
    assert (changed, read["colour"], acted) == (read, "white", {"blinks": 3})
    assert [one["pointer"] for one in wrong["errors"]] == ["/times"]
    assert [one["name"] for one in asked["lamps"]] == ["porch"]
