"""Documents: objects declared in YAML files. Each has `kind`, `name` and `properties`, and refers to others by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from jvp.core.errors import Invalid, JvpError
from jvp.core.values import Bag, Secret
from jvp.doors.cli import known, output

INPUT = "-"
_MEMBERS = ("kind", "name", "properties")


@dataclass(frozen=True)
class Document:
    """One object that a file declares."""

    where: str
    """The file, and the number in it, for sentences."""
    token: str
    name: str
    properties: Bag

    @property
    def kind(self) -> Any:
        return known.type_of(self.token)

    @property
    def wanted(self) -> Bag:
        return {**self.properties, "name": self.name}

    @property
    def reference(self) -> str:
        """How commands name it: what is in a pool, or of an instance, by both."""
        holder = self.properties.get(self.kind.within)
        return f"{holder}/{self.name}" if isinstance(holder, str) else self.name

    def at(self, error: JvpError) -> JvpError:
        """An error with the document that it is about."""
        error.message, error.path = f'{self.where}, {self.kind.kind} "{self.name}": {error}', ()
        if isinstance(error, Invalid):
            error.others = ()  # they stand in the sentence
        return error


def text_of(token: str, name: str, properties: Bag) -> str:
    """The document of an object, without what is secret: that stays as it is when the document is applied."""
    shown = {key: value for key, value in properties.items() if key != "name" and not _is_secret(value)}
    return output.as_yaml({"kind": token, "name": name, "properties": _without_secrets(shown)})


def _is_secret(value: Any) -> bool:
    return isinstance(value, Secret)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(one) for key, one in value.items() if not _is_secret(one)}
    return [_without_secrets(one) for one in value if not _is_secret(one)] if isinstance(value, list) else value


def load(files: list[str]) -> list[Document]:
    """The documents of all files, in the order in which the objects stand on each other. Raises Invalid, OSError."""
    found = [document for file in files for document in _read(file)]
    if not found:
        raise Invalid(f"there is no document in {' and '.join(files)}")
    seen: dict[tuple[str, str], Document] = {}
    for one in found:
        other = seen.setdefault((one.token, one.reference), one)
        if other is not one:
            raise Invalid(f'{one.where}: {one.kind.kind} "{one.name}" is declared already, in {other.where}')
    return _ordered(found)


def _read(file: str) -> Iterator[Document]:
    import yaml

    name = "standard input" if file == INPUT else file
    try:
        text = sys.stdin.read() if file == INPUT else Path(file).read_text(encoding="utf-8")
        for number, found in enumerate(yaml.safe_load_all(text), 1):
            if found is not None:
                yield _document(f"{name}, document {number}", found)
    except UnicodeDecodeError:
        raise Invalid(f"{name} is no text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise Invalid(f"{name} is no YAML{where}: {getattr(error, 'problem', None) or 'it cannot be read'}") from None


def _document(where: str, found: Any) -> Document:
    if not isinstance(found, dict):
        raise Invalid(f"{where}: must have {', '.join(_MEMBERS)}")
    for name in found:
        if name not in _MEMBERS:
            raise Invalid(f'{where}: there is no "{name}" in a document; it has {", ".join(_MEMBERS)}')
    for name in ("kind", "name"):
        if not isinstance(found.get(name), str):
            raise Invalid(f"{where}: {name}: is required, and a text")
    properties = found.get("properties")
    if properties is None:
        properties = {}
    if not isinstance(properties, dict) or not all(isinstance(key, str) for key in properties):
        raise Invalid(f"{where}: properties: must be names with values")
    if properties.get("name", found["name"]) != found["name"]:
        raise Invalid(f"{where}: the name stands twice in it, and differs")
    try:
        token = known.token_of(found["kind"])
    except Invalid as error:
        raise Invalid(f"{where}: {error}") from None
    return Document(where, token, found["name"], properties)


def _ordered(found: list[Document]) -> list[Document]:
    """What others refer to first: types stand on each other in the order in which they are registered."""
    of = {token: [one for one in found if one.token == token] for token in known.kinds().values()}
    return [one for alike in of.values() for one in _referred_first(alike)]


def _referred_first(alike: list[Document]) -> Iterator[Document]:
    """The documents of one type, those first which others of them name. Raises Invalid where they name each other."""
    graph: TopologicalSorter[int] = TopologicalSorter()
    for number, one in enumerate(alike):
        texts = set(_texts(one.properties))
        graph.add(number, *(
            other for other, that in enumerate(alike) if other != number and texts & {that.name, that.reference}
        ))  # fmt: skip
    try:
        yield from (alike[number] for number in graph.static_order())
    except CycleError as error:
        names = " and ".join(f'"{alike[number].name}"' for number in dict.fromkeys(error.args[1]))
        raise Invalid(f"{names} refer to each other, so none of them can be the first") from None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
