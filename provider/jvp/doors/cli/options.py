"""Options from the properties of a model, and what was given by them.

    text, numbers, choices     --memory 2GiB --cpus 2
    yes or no                  --autostart, --no-autostart
    lists                      once for each item: --nic network=lan --nic network=dmz
    what has properties        --root-disk size=20GiB,pool=fast; anything deeper as YAML, --cloud-init @user.yaml
    secrets                    from a file, or from standard input: --password-file FILE, --password-file -
    an image                   --file FILE for the property that names a local file, --sha256 HEX for its checksum

A list can be given by the name of one item, too: --nic is --nics.
"""

from __future__ import annotations

import argparse
import os
import sys
import typing
from pathlib import Path
from typing import Any

from jvp.core.errors import Invalid, dotted
from jvp.core.facts import LocalFile
from jvp.core.model import FieldFacts, Spec, fields
from jvp.core.values import Bag, Secret
from jvp.doors.cli.known import kebab

PREFIX = "property:"
"""Before the names of properties among the parsed arguments."""
_INPUT = "-"
_FILE, _SHA256 = "file", "sha256"


def add(parser: argparse.ArgumentParser, model: type[Spec], skip: tuple[str, ...] = ()) -> None:
    """Add an option for each property of a model."""
    taken = {word for action in parser._actions for word in action.option_strings}
    for name, facts in fields(model).items():
        if name not in skip and facts.output is None:
            # What every command has keeps its word.
            words = [word for word in _words(name, facts) if word not in taken] or [f"--property-{kebab(name)}"]
            parser.add_argument(*words, dest=PREFIX + name, default=argparse.SUPPRESS, **_form(facts))
    place = _local_file(model)
    if place is not None and place[0] not in skip:
        about = f"the image, a file on this machine: {dotted(place)}"
        parser.add_argument("--file", dest=_FILE, metavar="FILE", help=about)
        if len(place) > 1:
            about = f"what the image must hash to: {dotted((*place[:-1], 'checksum'))}"
            parser.add_argument("--sha256", dest=_SHA256, metavar="HEX", help=about)


def _local_file(model: type[Spec]) -> tuple[str, ...] | None:
    """The property of a model, or of a part of it, that names a file of this machine."""
    for name, facts in fields(model).items():
        if facts.fact(LocalFile) is not None:
            return (name,)
        if facts.item is not None and not facts.is_list and (inner := _local_file(facts.item)) is not None:
            return (name, *inner)
    return None


def _words(name: str, facts: FieldFacts) -> list[str]:
    long = f"--{kebab(name)}"
    if facts.sensitive:
        return [f"{long}-file"]
    return [long, long[:-1]] if (facts.is_list or facts.is_map) and long.endswith("s") else [long]


def choices(facts: FieldFacts) -> tuple[str, ...]:
    """The words that a property may be, where they are few."""
    return typing.get_args(facts.annotation) if typing.get_origin(facts.annotation) is typing.Literal else ()


def _form(facts: FieldFacts) -> dict[str, Any]:
    told = facts.description + (f" ({facts.unit})" if facts.unit else "")
    about = {"help": told.replace("%", "%%")}
    if facts.annotation is bool:
        return {**about, "action": argparse.BooleanOptionalAction}
    if facts.sensitive:
        return {**about, "metavar": "FILE"}
    metavar = "|".join(choices(facts)) or ("NAME=VALUE,…" if facts.item or facts.is_map else kebab(facts.name).upper())
    repeated = {"action": "append"} if facts.is_list or facts.is_map else {}
    return {**about, **repeated, "metavar": metavar}


def given(parsed: argparse.Namespace, model: type[Spec]) -> Bag:
    """The properties that were given. Raises Invalid for what can be none, OSError."""
    found: Bag = {}
    for name, facts in fields(model).items():
        value = getattr(parsed, PREFIX + name, None)
        if value is not None:
            found[name] = _value(facts, value, (name,))
    place = _local_file(model)
    if place is not None and (file := getattr(parsed, _FILE, None)) is not None:
        if file == _INPUT:
            raise Invalid("an image comes from a file, for it is read twice; standard input is none", path=place)
        _put(found, place, os.path.abspath(file))  # noqa: PTH100 (a link stays one)
    if place is not None and (digits := getattr(parsed, _SHA256, None)) is not None:
        _put(found, (*place[:-1], "checksum"), f"sha256:{digits.lower().removeprefix('sha256:')}")
    return found


def _put(bag: Bag, path: tuple[str, ...], value: str) -> None:
    *above, name = path
    for one in above:
        bag = bag.setdefault(one, {})
    if not isinstance(bag, dict):
        return  # the check says what is wrong with it
    if name in bag:
        raise Invalid("is given twice", path=path)
    bag[name] = value


def _value(facts: FieldFacts, value: Any, path: tuple[str | int, ...]) -> Any:
    if isinstance(value, bool):
        return value
    if facts.sensitive:
        text = sys.stdin.read() if value == _INPUT else Path(value).read_text(encoding="utf-8")
        return Secret(_loaded(text, path) if facts.item or facts.is_list else text.removesuffix("\n"))
    if facts.is_map:
        return {key: one for text in value for key, one in _pairs(text, path).items()}
    if facts.item is not None:
        if not facts.is_list:
            return _part(facts.item, value, path)
        items = [_part(facts.item, text, (*path, index)) for index, text in enumerate(value)]
        # A file may hold the whole list.
        return items[0] if len(items) == 1 and isinstance(items[0], list) else items
    if facts.is_list:
        return [] if value == [""] else value
    return _scalar(facts, value)


def _scalar(facts: FieldFacts, text: str) -> Any:
    if facts.annotation is int:
        try:
            return int(text)
        except ValueError:
            return text  # the check says what is wrong
    if facts.annotation is bool and text in ("true", "false"):
        return text == "true"
    return text


def _part(model: type[Spec], text: str, path: tuple[str | int, ...]) -> Any:
    """What has properties: `@FILE`, `@-`, YAML in braces, or pairs."""
    if text.startswith("@"):
        return _loaded(sys.stdin.read() if text == f"@{_INPUT}" else Path(text[1:]).read_text(encoding="utf-8"), path)
    if text.startswith(("{", "[")):
        found = _loaded(text, path)
        _refuse_secrets(model, found, path)
        return found
    known = fields(model)
    found = {}
    for key, value in _pairs(text, path).items():
        name = next((name for name in known if key in (name, kebab(name))), key)
        if name in known and known[name].hides:
            _refuse_secret((*path, name))
        found[name] = _scalar(known[name], value) if name in known else value
    return found


def _pairs(text: str, path: tuple[str | int, ...]) -> dict[str, str]:
    found = {}
    for pair in text.split(",") if text else ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise Invalid(f'"{pair}" is no NAME=VALUE; what is deeper goes by a file: @FILE', path=path)
        found[name.strip()] = value
    return found


def _loaded(text: str, path: tuple[str | int, ...]) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise Invalid(
            f"is no YAML{where}: {getattr(error, 'problem', None) or 'it cannot be read'}", path=path
        ) from None


def _refuse_secrets(model: type[Spec], value: Any, path: tuple[str | int, ...]) -> None:
    for index, item in enumerate(value) if isinstance(value, list) else [(None, value)]:
        for name, inside in item.items() if isinstance(item, dict) else ():
            here = (*path, name) if index is None else (*path, index, name)
            facts = fields(model).get(name)
            if facts is not None and facts.sensitive:
                _refuse_secret(here)
            if facts is not None and facts.item is not None:
                _refuse_secrets(facts.item, inside, here)


def _refuse_secret(path: tuple[str | int, ...]) -> None:
    raise Invalid(
        f"is secret, and the command line is seen by others; write {dotted(path[:1])} into a file, and give it as "
        f"--{kebab(str(path[0]))} @FILE, or by standard input as @-",
        path=path,
    )
