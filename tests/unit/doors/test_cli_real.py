"""The commands of what JVP has: each can be asked for help, and no property is without an option."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jvp.core.model import fields
from jvp.doors.cli import commands, exits, kinds, known, options
from jvp.doors.cli.late import Parser
from jvp.doors.cli.main import main


def every() -> Iterator[tuple[str, str]]:
    for word, token in known.kinds().items():
        for command, _, _ in commands.commands_of(token):
            yield word, command


@pytest.mark.parametrize(("word", "command"), list(every()))
@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_every_command_tells_what_it_takes(
    word: str, command: str, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    fills = {name: fill for name, _, fill in commands.commands_of(known.kinds()[word])}
    told = Parser(prog=f"jvp {word} {command}", fill=fills[command]).filled().format_help()
    assert "--uri" in told


@pytest.mark.parametrize("word", list(kinds.FILES))
def test_the_commands_over_documents_tell_it_too(word: str) -> None:
    parser = Parser(prog=f"jvp {word}")
    commands.of_documents(word, parser)
    assert "--uri" in parser.format_help()


@pytest.mark.parametrize("token", list(known.kinds().values()))
@pytest.mark.parametrize("command", ["create", "set"])
def test_every_property_has_its_option(token: str, command: str) -> None:
    fills = {name: fill for name, _, fill in commands.commands_of(token)}
    parser = Parser(fill=fills[command]).filled()
    given = {action.dest: action.option_strings for action in parser._actions}
    wanted = {name for name, facts in fields(known.type_of(token).spec).items() if facts.output is None}
    wanted -= {"name"} if command == "create" else set()  # what is made has its name as an argument
    assert {name.removeprefix(options.PREFIX) for name in given if name.startswith(options.PREFIX)} == wanted
    assert not [words for words in given.values() if any(word.startswith("--property-") for word in words)]


@pytest.mark.parametrize(("word", "within"), [("template", "pool"), ("volume", "pool"), ("snapshot", "instance")])
def test_a_name_without_what_holds_it_says_how_to_write_it(
    word: str, within: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word, "create", "web"]) == exits.USAGE
    assert capsys.readouterr().err == f'jvp: "web" does not say the {within}; write it as {within}/name\n'
