"""The commands over a toy that is registered: nothing of them is written for it."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
import yaml
from pydantic import Field
from rich.cells import cell_len
from tests.unit.core.toys import Cars

from jvp.core.action import Action
from jvp.core.errors import Busy, JvpError, NoSpace, NotFound, Rejected, Unreachable
from jvp.core.identity import Mark
from jvp.core.listing import function_of
from jvp.core.model import Spec
from jvp.core.objects import Objects
from jvp.core.work import Progress, Work, current
from jvp.doors.cli import completion, exits, output
from jvp.doors.cli.main import main
from jvp.doors.cli.session import Lines
from jvp.resources import registry

HUSH = "hunter2"


class How(Spec):
    """How to honk."""

    times: Annotated[int, Field(description="How often.")] = 1
    force: Annotated[bool, Field(description="Louder.")] = False


class Honked(Spec):
    """What is heard."""

    sound: Annotated[str, Field(description="The sound.")]


class HonkCar(Action[How, Honked]):
    """Honks. And nothing else."""

    token, on, word, args, result, effect = "honkCar", "Car", "honk", How, Honked, "makes a noise"

    def call(self, work: Work, object_id: str, args: How) -> Honked:
        return Honked(sound=("HONK" if args.force else "honk") * args.times)


class Which(Spec):
    """Which car."""

    car: Annotated[str, Field(description="Which.")]


class Key(Spec):
    """A key."""

    teeth: Annotated[int, Field(description="How many.")]


class GetCarKey:
    """The key of a car."""

    token: ClassVar[str] = "getCarKey"
    args: ClassVar[type[Spec]] = Which
    result: ClassVar[type[Spec]] = Key

    def call(self, work: Work, args: Which) -> Key:
        return Key(teeth=len(args.car))


@pytest.fixture
def cars(monkeypatch: pytest.MonkeyPatch) -> Cars:
    """What is registered is a car, a question about it, and an action."""
    found = Cars()
    lists = function_of(Cars)
    functions = {"getCars": lists(found), "getCarKey": GetCarKey()}
    objects = Objects({"Car": found}, functions, lambda: "the-host", actions={"honkCar": HonkCar()})
    monkeypatch.setattr(registry, "TYPES", {"Car": Cars})
    monkeypatch.setattr(registry, "FUNCTIONS", {"getCars": lists, "getCarKey": GetCarKey})
    monkeypatch.setattr(registry, "ACTIONS", {"honkCar": HonkCar})
    monkeypatch.setattr(registry, "objects", lambda settings: objects)
    for name in [name for name in os.environ if name.startswith("JVP_") and name != "JVP_AUDIT"]:
        monkeypatch.delenv(name)
    return found


class Jvp:
    """The command, and what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.err = ""

    def __call__(self, *words: str, code: int = 0) -> str:
        try:
            ended = main(words)
        except SystemExit as end:
            ended = int(end.code or 0)
        said = self._capsys.readouterr()
        self.err = said.err
        assert ended == code, (said.out, said.err)
        assert "Traceback" not in said.err
        assert HUSH not in said.out + said.err
        return said.out


@pytest.fixture
def jvp(cars: Cars, capsys: pytest.CaptureFixture[str]) -> Jvp:
    return Jvp(capsys)


def test_what_is_registered_has_its_commands(jvp: Jvp) -> None:
    assert "    car " in jvp("--help")
    told = jvp("car", "--help")
    for line in ("list ", "show ", "create ", "set ", "delete ", "key +the key of a car", "honk +honks$"):
        assert re.search(f"^    {line}", told, re.MULTILINE)
    told = jvp("car", "create", "--help")
    for option in (
        "--size",
        "--colour",
        "--doors",
        "--open, --no-open",
        "--rear-doors",
        "--wheels",
        "--wheel",
        "--engine",
    ):
        assert option in told
    assert "--pin-file FILE" in told
    assert "--pin " not in told
    assert "--plate" not in told


def test_a_life(jvp: Jvp, cars: Cars) -> None:
    words = ("--size", "2GiB", "--doors", "3", "--wheel", "name=x", "--wheel", "name=y,size=1MiB", "--label",
             "a=b", "--label", "c=d", "--engine", "power=100,fuel=diesel", "--open", "--tag", "one", "--tags",
             "two")  # fmt: skip
    assert jvp("car", "create", "a", *words, "--plan") == '+ car "a" is made\n'
    assert not cars.cars
    assert jvp("car", "create", "a", *words) == 'car "a" created\n'
    ((mark, car),) = cars.cars.values()
    assert mark.declared_by is not None
    assert (mark.declared_by.door, mark.acknowledged, car.open, car.doors) == ("cli", True, True, 3)
    assert {wheel.name for wheel in car.wheels} == {"x", "y"}
    assert (car.labels, car.tags, car.engine.power) == ({"a": "b", "c": "d"}, ["one", "two"], 100)
    jvp("car", "create", "a", code=exits.REFUSED)
    assert 'car "a" is there already; change it with "jvp car set a"' in jvp.err

    assert "    doors: 3 -> 5 (next boot)" in jvp("car", "set", "a", "--doors", "5", "--plan")
    assert jvp("car", "set", "a", "--doors", "5", "--no-open") == 'car "a" changed: doors, open, rearDoors\n'
    assert jvp("car", "set", "a", "--doors", "5") == 'car "a" is as declared\n'
    assert "labels" in jvp("car", "set", "a", "--unset", "labels")
    ((_, car),) = cars.cars.values()
    assert (car.doors, car.open, car.labels, car.tags) == (5, False, {}, ["one", "two"])
    assert jvp("car", "honk", "a", "--times", "2") == 'car "a": honkhonk\n'
    assert jvp("car", "honk", "a", "--force") == 'car "a": HONK\n'
    assert jvp("car", "honk", "a", "--plan") == 'car "a": makes a noise\n'
    assert jvp("car", "key", "a") == "teeth  1\n"
    assert jvp("car", "delete", "a", "--plan") == '- car "a" is deleted\n'
    assert cars.cars
    assert jvp("car", "delete", "a") == 'car "a" deleted\n'
    assert not cars.cars


def test_a_replacement_is_planned_and_never_done(jvp: Jvp, cars: Cars) -> None:
    jvp("car", "create", "a", "--wheel", "name=x,rim=steel")
    before = dict(cars.cars)
    assert "would have to be made anew, which is not done unasked" in jvp(
        "car", "set", "a", "--wheel", "name=x,rim=gold", "--plan"
    )
    jvp("car", "set", "a", "--wheel", "name=x,rim=gold", code=exits.REFUSED)
    assert cars.cars == before


def test_what_others_have_takes_force(jvp: Jvp, cars: Cars) -> None:
    jvp("car", "create", "a")
    ((uuid, (_, car)),) = cars.cars.items()
    cars.cars[uuid] = (Mark("", 0), car)
    for words in (("set", "a", "--doors", "2"), ("honk", "a"), ("delete", "a")):
        jvp("car", *words, code=exits.REFUSED)
        assert "without force" in jvp.err
    assert "takes --force" in jvp("car", "set", "a", "--doors", "2", "--plan")
    assert jvp("car", "set", "a", "--doors", "2", "--force") == 'car "a" changed: doors\n'
    assert jvp("car", "honk", "a", "--force-others")
    assert jvp("car", "delete", "a", "--force")


def test_forms_of_output(jvp: Jvp, cars: Cars, monkeypatch: pytest.MonkeyPatch) -> None:
    jvp("car", "create", "b")
    jvp("car", "create", "a", "--label", "x=y")
    assert jvp("car", "list") == "NAME  DECLARED-BY\na     -\nb     -\n"
    assert jvp("car", "list", "-o", "wide").split()[:3] == ["NAME", "DECLARED-BY", "ID"]
    assert jvp("car", "list", "-o", "name") == "a\nb\n"
    assert [one["name"] for one in json.loads(jvp("car", "list", "-o", "json"))] == ["a", "b"]
    assert [one["name"] for one in yaml.safe_load(jvp("car", "list", "--output", "yaml"))] == ["a", "b"]
    assert jvp("car", "list", "--sort", "name", "--reverse", "--fields", "name") == "NAME\nb\na\n"
    told = json.loads(jvp("car", "list", "--fields", "name,id", "-o", "json"))
    assert [[*one] for one in told] == [["name", "id"]] * 2
    jvp("car", "list", "--sort", "wings", code=exits.USAGE)
    assert 'there is no "wings" in this list; there are id, name, declaredBy' in jvp.err
    monkeypatch.setenv("JVP_OUTPUT", "json")
    shown = json.loads(jvp("car", "show", "a"))
    assert (shown["name"], shown["labels"], shown["declaredBy"]) == ("a", {"x": "y"}, "the command line, car a")
    assert "labels.x    y\n" in jvp("car", "show", "a", "-o", "table")
    assert json.loads(jvp("car", "set", "a", "--doors", "2"))["doors"] == 2
    monkeypatch.setenv("JVP_OUTPUT", "xml")
    jvp("car", "list", code=exits.USAGE)
    assert 'jvp: JVP_OUTPUT: "xml" is no form of output' in jvp.err


def test_a_table_has_colours_on_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"name": "a", "state": "running", "memoryBytes": 3 << 29}]
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    output.table(["name", "state", "memoryBytes"], rows)
    assert capsys.readouterr().out == "NAME  STATE    MEMORY\na     running  1.5GiB\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    output.table(["name", "state"], rows)
    assert "\x1b[32mrunning\x1b[0m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    output.table(["name", "state"], rows)
    assert "\x1b" not in capsys.readouterr().out


def test_a_table_on_a_terminal_is_as_wide_as_that_and_harmless(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "dumb")
    strange = "[red]x[/red] :smile: \x1b[2J\u202e"
    output.table(["name", "declaredBy"], [{"name": "日本" * 20, "declaredBy": strange}])
    head, first, *more = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "DECLARED-BY"]
    assert max(map(cell_len, (head, first, *more))) <= 40
    told = "".join(line[line.index("  ") if "  " in line else 0 :].strip() for line in (first, *more))
    assert "[red]x" in told
    assert ":smile:" in told
    output.properties({"id": "[b]", "path": "/" + "x" * 60, "labels": {"\x07[i]": strange}})
    text = capsys.readouterr().out
    assert text.count("x") >= 60
    assert "[b]" in text
    assert not {"\x1b", "\x07", "\u202e"} & {*text}
    output.properties({"id": "i", "live": "<a>\n  <b/>\x1b\n</a>\n"})
    assert capsys.readouterr().out.endswith("\nlive:\n<a>\n  <b/>\\x1b\n</a>\n")
    # What cannot be squeezed any more the terminal itself wraps.
    output.table([f"column{number}" for number in range(9)], [])
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_progress_has_bytes_rate_and_time_left_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for shown, variables in ((Terminal(), {"TERM": "xterm", "COLUMNS": "120"}), (io.StringIO(), {"TERM": "xterm"}),
                             (Terminal(), {"TERM": "dumb"})):  # fmt: skip
        monkeypatch.setattr(sys, "stderr", shown)
        for name, text in variables.items():
            monkeypatch.setenv(name, text)
        lines = Lines()
        for done in (10 << 20, 20 << 20):
            lines.progress(Progress("copying [red]", done, 40 << 20, "copying 25%"))
        lines.status("the rest")
        lines.warn("careful")
        told = shown.getvalue()
        assert told.endswith("warning: careful\n")
        drawn = "copying [red]" in told and "20 MiB of 40 MiB" in told and "iB/s" in told and "the rest" in told
        assert drawn == ("COLUMNS" in variables), told
        if drawn:
            # The bar and the line are taken away before what stays.
            assert "\x1b[2K" in told
            assert "the rest\r\x1b[Kwarning" in told


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("list", "--nmae", "x"), exits.USAGE, "unrecognized arguments: --nmae"),
        (("create", "a", "--doors", "many"), exits.USAGE, "jvp: doors: "),
        (("create", "a", "--doors", "12"), exits.USAGE, "jvp: doors: has 12, more than any car"),
        (("create", "a", "--size", "big"), exits.USAGE, 'jvp: size: "big" is not a size'),
        (("create", "a", "--wheel", "x"), exits.USAGE, 'jvp: wheels[0]: "x" is no NAME=VALUE'),
        (("create", "a", "--wheel", "nmae=x"), exits.USAGE, "jvp: wheels[0]"),
        (("create", "a", "--engine", "{power: ["), exits.USAGE, "jvp: engine: is no YAML"),
        (("create", "a", "--engine", "@/no/such"), exits.FAILED, "jvp: /no/such: no such file"),
        (("set", "a"), exits.USAGE, "nothing is to be set"),
        (("set", "a", "--unset", "wings"), exits.USAGE, 'jvp: unset: there is no property "wings"'),
        (("show", "a"), exits.NOT_FOUND, 'there is no car "a"'),
        (("delete", "a"), exits.NOT_FOUND, 'there is no car "a"'),
        (("honk", "a"), exits.NOT_FOUND, 'there is no car "a"'),
        (("list", "--time-limit", "soon"), exits.USAGE, 'jvp: timeLimit: "soon" is not a duration'),
        (("list", "--uri", "xen://x"), exits.USAGE, "jvp: uri: must begin with qemu"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_a_code(jvp: Jvp, words: tuple[str, ...], code: int, said: str) -> None:
    assert jvp("car", *words, code=code) == ""
    assert said in jvp.err


def test_an_option_before_its_command_is_told_where_it_stands(jvp: Jvp) -> None:
    assert jvp("--uri", "qemu:///system", "car", "list", code=exits.USAGE) == ""
    assert 'options stand behind the command: "jvp instance list --uri …"' in jvp.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("x"), exits.NOT_FOUND),
        (Rejected("x"), exits.REFUSED),
        (NoSpace("x"), exits.REFUSED),
        (Unreachable("x"), exits.UNREACHABLE),
        (Busy("x"), exits.BUSY),
        (KeyError(HUSH), exits.DEFECT),
    ],
)
def test_each_kind_of_error_has_its_code(jvp: Jvp, cars: Cars, error: Exception, code: int, tmp_path: Path) -> None:
    def fail(_: Any) -> None:
        raise error

    cars.hook = fail
    (tmp_path / "pin").write_text(HUSH)
    assert jvp("car", "create", "a", "--pin-file", str(tmp_path / "pin"), code=code) == ""
    assert jvp.err.startswith("jvp: ")
    assert jvp.err.count("\n") == 1


def test_what_is_done_in_part_says_what_it_lacks(jvp: Jvp, cars: Cars) -> None:
    cars.reasons = ("the car has no fuel",)
    assert jvp("car", "create", "a", code=exits.PARTIAL) == 'car "a" created\n'
    assert jvp.err == "jvp: the car has no fuel\n"


def test_an_interrupt_cancels_as_an_engine_does(jvp: Jvp, cars: Cars) -> None:
    def wait(_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        current().until(lambda: False, limit_s=60, every_s=0.05, what="the car is slow")

    before = signal.getsignal(signal.SIGINT)
    cars.hook = wait
    jvp("car", "create", "a", code=exits.INTERRUPTED)
    assert "stopped on request" in jvp.err
    assert signal.getsignal(signal.SIGINT) is before
    cars.hook = lambda _: None
    assert jvp("car", "create", "a") == 'car "a" created\n'


def test_secrets_come_from_files_and_go_nowhere(
    jvp: Jvp, cars: Cars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pin").write_text(f"{HUSH}\n")
    jvp("car", "create", "a", "--pin-file", str(tmp_path / "pin"), "--note", "remember")
    for words in (("show", "a"), ("show", "a", "-o", "json"), ("set", "a", "--doors", "2", "-o", "yaml")):
        jvp("car", *words)
    assert "pin" not in jvp("export", "car", "a")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{HUSH}!"))
    assert "    pin (live)" in jvp("car", "set", "a", "--pin-file", "-", "--plan")
    # Nor do they stand on the command line, where others see them.
    for engine in ("code=abc", "{code: abc}"):
        jvp("car", "set", "a", "--engine", engine, code=exits.USAGE)
        assert "jvp: engine.code: is secret, and the command line is seen by others" in jvp.err
        assert "abc" not in jvp.err
    (tmp_path / "engine").write_text(f"power: 9\ncode: {HUSH}\n")
    assert "engine" in jvp("car", "set", "a", "--engine", f"@{tmp_path / 'engine'}")
    ((_, car),) = cars.cars.values()
    assert car.engine.code.reveal() == HUSH
    jvp("car", "show", "a")


FILE = """
kind: Car
name: b
properties:
  colour: a
  doors: 3
---
kind: car
name: a
---
"""


def test_documents_are_applied_planned_exported_and_deleted(jvp: Jvp, cars: Cars, tmp_path: Path) -> None:
    file = tmp_path / "cars.yaml"
    file.write_text(FILE)
    assert jvp("plan", "-f", str(file)) == '+ car "a" is made\n+ car "b" is made\n'
    assert not cars.cars
    # What another one refers to comes first, wherever it stands.
    assert jvp("apply", "-f", str(file)) == 'car "a" created\ncar "b" created\n'
    assert jvp("apply", "-f", str(file)) == 'car "a" is as declared\ncar "b" is as declared\n'
    told = json.loads(jvp("plan", "-f", str(file), "-o", "json"))
    assert [(one["name"], one["plan"], one["changes"]) for one in told] == [("a", "nothing", []), ("b", "nothing", [])]
    jvp("car", "set", "b", "--colour", "red")
    document = jvp("export", "car", "b")
    assert yaml.safe_load(document) == {"kind": "Car", "name": "b", "properties": {"colour": "red", "doors": 3}}
    (tmp_path / "b.yaml").write_text(document)
    assert jvp("plan", "-f", str(tmp_path / "b.yaml")) == '= car "b" stays as it is\n'
    assert "    colour: red -> a (live)" in jvp("apply", "--plan", "-f", str(file))
    # What is taken out of a document goes back to its default.
    file.write_text(FILE.replace("  doors: 3\n", ""))
    assert jvp("apply", "-f", str(file)) == 'car "a" is as declared\ncar "b" changed: colour, doors, rearDoors\n'
    assert jvp("delete", "-f", str(file), "--plan") == '- car "b" is deleted\n- car "a" is deleted\n'
    jvp("car", "delete", "a")
    assert jvp("delete", "-f", str(file)) == 'car "b" deleted\ncar "a" is not there\n'
    assert not cars.cars


def test_documents_come_from_standard_input_too(jvp: Jvp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("kind: Car\nname: a\nproperties: {doors: 12}\n"))
    jvp("apply", "-f", "-", code=exits.USAGE)
    assert jvp.err == 'jvp: standard input, document 1, car "a": doors: has 12, more than any car\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no document in"),
        ("- a", "document 1: must have kind, name, properties"),
        ("kind: Car", "document 1: name: is required, and a text"),
        ("name: a", "document 1: kind: is required, and a text"),
        ("kind: Bike\nname: a", 'document 1: kind: "Bike" is no kind of resource; there are Car'),
        ("kind: Car\nname: a\nmetadata: {}", 'document 1: there is no "metadata" in a document'),
        ("kind: Car\nname: a\nproperties: [x]", "document 1: properties: must be names with values"),
        ("kind: Car\nname: a\nproperties: {name: b}", "document 1: the name stands twice in it, and differs"),
        ("kind: Car\nname: a\n---\nkind: car\nname: a", 'document 2: car "a" is declared already, in'),
        ("kind: Car\nname: a\nproperties: {tags: [b]}\n---\nkind: car\nname: b\nproperties: {tags: [a]}",
         '"a" and "b" refer to each other'),
        ("kind: [", "is no YAML in line"),
        ("kind: Car\nname: a\nproperties: {wings: 2}", 'document 1, car "a": wings: there is no property "wings"'),
    ],
)  # fmt: skip
def test_what_is_wrong_with_documents_is_one_sentence(
    jvp: Jvp, cars: Cars, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    for word in ("plan", "apply"):
        jvp(word, "-f", str(file), code=exits.USAGE)
        assert said in jvp.err, jvp.err
        assert jvp.err.count("\n") == 1
    assert not cars.cars


def test_a_shell_is_told_the_words_that_may_follow(jvp: Jvp, cars: Cars) -> None:
    assert "car\n" in jvp("__complete", "")
    assert "honk\n" in jvp("__complete", "car", "")
    assert "--doors\n" in jvp("__complete", "car", "create", "--d")
    assert jvp("__complete", "car", "list", "-o", "").split() == list(output.FORMATS)
    jvp("car", "create", "a")
    ((mark, car),) = cars.cars.values()
    cars.cars["theirs"] = (mark, car.model_copy(update={"name": "$(halt)"}))
    assert jvp("__complete", "car", "show", "") == "a\n"
    for shell in completion.SCRIPTS:
        assert completion.ASK in jvp("completion", shell)


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (ImportError("No module named 'yaml'"), exits.FAILED, "this installation of jvp is not complete: No module"),
        (KeyboardInterrupt(), exits.INTERRUPTED, ""),
    ],
)
def test_nothing_before_a_command_runs_shows_a_traceback(
    jvp: Jvp, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, said: str
) -> None:
    def fail(*_: Any) -> None:
        raise raised

    monkeypatch.setattr("jvp.doors.cli.commands.of_kind", fail)
    jvp("car", "list", code=code)
    assert said in jvp.err


def test_every_error_has_a_code() -> None:
    def below(kind: type[JvpError]) -> set[type[JvpError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    assert {kind.__name__ for kind in below(JvpError) if exits.code_of(kind("x")) == exits.FAILED} <= {"JvpError"}
