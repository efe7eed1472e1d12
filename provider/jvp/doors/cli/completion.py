"""`jvp completion`: what a shell asks when somebody presses Tab. Words come from the parsers, names from the node.

eval "$(jvp completion bash)"        in ~/.bashrc; zsh likewise; in fish: jvp completion fish | source
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from collections.abc import Iterable
from typing import Any

from jvp.doors.cli.late import Parser
from jvp.doors.cli.words import sentence

ASK = "__complete"
"""The command that the scripts ask, with what was typed so far."""
_BASH = f"""\
_jvp() {{
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        [[ $word == "${{COMP_WORDS[COMP_CWORD]}}"* ]] && COMPREPLY+=("$word")
    done < <(jvp {ASK} "${{COMP_WORDS[@]:1:COMP_CWORD}}" 2>/dev/null)
}}
complete -o default -F _jvp jvp
"""
_ZSH = f"""\
#compdef jvp
_jvp() {{
    local -a found
    found=(${{(f)"$(jvp {ASK} "${{(@)words[2,CURRENT]}}" 2>/dev/null)"}})
    compadd -a found || _files
}}
compdef _jvp jvp
"""
_FISH = f"""\
function __jvp
    set -l found (jvp {ASK} (commandline -opc)[2..] (commandline -ct) 2>/dev/null)
    if set -q found[1]
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c jvp -f -a '(__jvp)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*", re.ASCII)
_NAMES_S = "3s"
"""So long a node may take to tell names."""


def add_to(commands: Any) -> None:
    """Add the command."""
    about = "print what makes a shell complete the commands"
    command = commands.add_parser("completion", help=about, description=sentence(about))
    command.add_argument("shell", choices=tuple(SCRIPTS))
    command.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Print the script."""
    print(SCRIPTS[parsed.shell], end="")
    return 0


def answer(root: Parser, typed: list[str]) -> int:
    """Print the words that may stand where the last one of `typed` is."""
    with contextlib.suppress(Exception):
        for word in _words(root, typed or [""]):
            print(word)
    return 0


def _words(root: Parser, typed: list[str]) -> Iterable[str]:
    *before, last = typed
    parser, path = root.filled(), []
    for word in before:
        below = _commands(parser)
        if word in below:
            parser = below[word].filled()
            path.append(word)
    option = parser._option_string_actions.get(before[-1]) if before else None
    if option is not None and option.nargs != 0:
        return option.choices or (option.metavar.split("|") if "|" in str(option.metavar) else ())  # type: ignore[union-attr]
    if last.startswith("-"):
        return [word for word in parser._option_string_actions if word.startswith("--")]
    return _commands(parser) or _names(root, parser, path)


def _commands(parser: Parser) -> dict[str, Parser]:
    """The commands below a command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _names(root: Parser, parser: Parser, path: list[str]) -> Iterable[str]:
    """The names of the objects that a command may be about."""
    takes = {action.dest for action in parser._actions if not action.option_strings}
    if len(path) != 2 or not takes & {"reference", "references"}:
        return ()
    asked = root.parse_args([path[0], "list", "--output", "name", "--time-limit", _NAMES_S])
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        asked.run(asked)
    # A stranger may have named an object: what a shell would act on is no word for it.
    return [name for name in said.getvalue().splitlines() if _HARMLESS.fullmatch(name)]
