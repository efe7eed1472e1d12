"""Check: raw properties against a model. Knows offline rules only; never touches a host."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from jvp.core.errors import Invalid, Path, dotted
from jvp.core.facts import Derived
from jvp.core.guard import said
from jvp.core.model import FieldFacts, Spec, bag_of, fields, hides, plain
from jvp.core.tree import along, every, mapped
from jvp.core.types import shortened
from jvp.core.values import PLAIN, UNKNOWN, Bag, Secret, opened, reveal, secret_at, secret_paths, secret_texts

S = TypeVar("S", bound=Spec)
QUOTED = 12
"""So much of a secret's beginning is recognised in a sentence that quotes it shortened."""
_SHOWN_MAX = 60


@dataclass(frozen=True)
class Failure:
    """One thing wrong with the input."""

    path: Path
    message: str


@dataclass(frozen=True)
class Checked(Generic[S]):
    """The outcome, in the user's spelling, with Secrets where they were."""

    inputs: Bag
    """What was set, and what follows from it whatever the user sets (`Derived`)."""
    failures: tuple[Failure, ...]
    spec: S | None
    """With defaults filled in. None when there are failures."""
    whole: Bag
    """The same as a bag: `inputs` with defaults filled in."""

    def sound(self) -> Self:
        """Itself. Raises Invalid for inputs that break rules, with all of them."""
        if self.failures:
            first, *others = self.failures
            raise Invalid(first.message, path=first.path, others=tuple((one.path, one.message) for one in others))
        return self


def check(model: type[S], raw: Bag) -> Checked[S]:
    """Validate `raw`. Unknown values pass; what can be known about the rest is checked."""
    hidden = secret_paths(raw)
    try:
        # A property has one name: of a second one no door could tell what it hides, or who may set it.
        spec = model.model_validate(_set(raw), by_alias=True, by_name=False)
    except ValidationError as error:
        return Checked(raw, tuple(_quiet(failure, model, raw) for failure in _failures(model, raw, error)), None, raw)
    broken = tuple(_quiet(Failure(path, sentence), model, raw) for path, sentence in spec.rules())
    if broken:
        return Checked(raw, broken, None, raw)
    given = bag_of(spec, given=True)
    filled = spec.derived()
    if any(type(value) not in PLAIN for value in filled.values()):
        spec = model.model_validate({**spec_values(spec), **filled})
    elif filled:  # from properties that are validated
        spec = spec.model_copy(update=filled)
    whole = spec.bag()
    return Checked(hide(_with_derived(model, given, whole), hidden, model), (), spec, hide(whole, hidden, model))


def _with_derived(model: type[BaseModel], given: Bag, whole: Bag) -> Bag:
    """`given` with what follows from it whatever the user sets: it pins what was planned."""
    if not _derives(model):
        return given
    found = dict(given)
    for name, field in fields(model).items():
        if field.fact(Derived) is not None and whole.get(name) is not None:
            found[name] = whole[name]
        elif name in given:
            found[name] = mapped(field, given[name], _with_derived, whole.get(name))
    return found


def spec_values(spec: BaseModel) -> dict[str, Any]:
    """The top-level values by field name, sub-models as bags: what `model_validate` takes again."""
    return {name: plain(getattr(spec, name)) for name in type(spec).model_fields}


def hide(bag: Bag, paths: set[Path], model: type[BaseModel]) -> Bag:
    """`bag` with Secrets at `paths`, and at every property that is always secret."""
    marked: Bag = secret_at(bag, paths)
    return _hidden(model, marked) if hides(model) else dict(marked)


def _hidden(model: type[BaseModel], bag: Bag) -> Bag:
    found = dict(bag)
    for field in _hiding(model):
        value = found.get(field.name)
        if value is not None and not isinstance(value, Secret):
            found[field.name] = Secret(reveal(value)) if field.sensitive else mapped(field, value, _hidden)
    return found


@cache
def _hiding(model: type[BaseModel]) -> tuple[FieldFacts, ...]:
    return tuple(field for field in fields(model).values() if field.hides)


def veiled(model: type[BaseModel], bag: Bag, known: Bag) -> Bag:
    """`bag` with a Secret wherever `known` has one, and at every property that is always secret."""
    return hide(_veiled(model, bag, known), set(), model)


def _veiled(model: type[BaseModel], bag: Bag, known: Bag) -> Bag:
    found, there = dict(bag), fields(model)
    for name in {str(path[0]) for path in secret_paths(known)}.intersection(bag):
        field = there.get(name)
        if field is None or field.item is None:
            found[name] = secret_at(bag[name], secret_paths(known[name]))
        else:
            found[name] = mapped(field, bag[name], _veiled, known[name])
    return found


@cache
def _derives(model: type[BaseModel]) -> bool:
    return any(field.fact(Derived) is not None for field in every(model))


def underived(model: type[BaseModel], raw: Bag) -> Bag:
    """`raw` without what follows from the rest: a program may have it from an import, where it is of that time."""
    known = fields(model)
    return {
        name: mapped(known[name], value, underived) if name in known else value
        for name, value in raw.items()
        if name not in known or known[name].fact(Derived) is None
    }


def _set(value: Any) -> Any:
    """What is set, with every Secret opened. An explicit null means: not set."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, dict):
        return {key: _set(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_set(item) for item in value]
    return _set(value.reveal()) if isinstance(value, Secret) else value


def _failures(model: type[Spec], raw: Bag, error: ValidationError) -> Iterator[Failure]:
    secret = secret_paths(hide(raw, secret_paths(raw), model))
    for detail in error.errors(include_url=False):
        path = _path(detail, raw)
        if any(path[: len(where)] == where for where in secret):
            detail["input"] = Secret(None)
        yield Failure(path, _sentence(model, path, detail))


def _path(detail: ErrorDetails, raw: Bag) -> Path:
    """Where it is, without the names of validators; a name that a user made up may look like one."""
    found: list[str | int] = []
    held: Any = raw
    for part in detail["loc"] or ("",):
        held = opened(held)
        is_there = isinstance(held, dict) and part in held
        if is_there or not (isinstance(part, str) and "[" in part):
            found.append(part)
            held = held[part] if is_there or (isinstance(held, list) and isinstance(part, int)) else None
    return tuple(found)


def _quiet(failure: Failure, model: type[Spec], raw: Bag) -> Failure:
    """`failure` without the secrets that its sentence may quote, whole or shortened."""
    secrets = secret_texts(hide(raw, secret_paths(raw), model))
    sentence = said(failure.message, secrets)
    if any(text[:QUOTED] in sentence for text in secrets if len(text) > QUOTED):
        sentence = "has a form that is not allowed; it is a secret and not shown"
    return Failure(failure.path, sentence)


def _sentence(model: type[Spec], path: Path, detail: ErrorDetails) -> str:
    kind, value = detail["type"], detail.get("input")
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown_property(str(path[-1]), list(_fields_at(model, path[:-1])))
    if kind == "missing":
        return "is required"
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_unicode":
        return "holds half of a surrogate pair, which no encoding can carry"
    if kind in ("finite_number", "int_parsing_size"):
        return f"must be a number that can be counted to, not {_shown(value)}"
    if kind in ("literal_error", "enum"):
        return f"must be one of {context['expected']}, not {_shown(value)}"
    wanted = {"string": "a string", "int": "a whole number", "bool": "true or false", "float": "a number",
              "list": "a list", "dict": "an object", "model": "an object"}  # fmt: skip
    stem = kind.split("_")[0]
    if kind.endswith(("_type", "_parsing", "_from_float")) and stem in wanted:
        return f"must be {wanted[stem]}, not {_shown(value)}"
    bounds = {"greater_than_equal": ("at least", "ge"), "greater_than": ("more than", "gt"),
              "less_than_equal": ("at most", "le"), "less_than": ("less than", "lt")}  # fmt: skip
    if kind in bounds:
        words, limit = bounds[kind]
        return f"must be {words} {context[limit]}, not {_shown(value)}"
    return detail["msg"][:1].lower() + detail["msg"][1:]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "null"
    if value is UNKNOWN or isinstance(value, Secret):
        return "that"
    if isinstance(value, str):
        return f'"{shortened(value, _SHOWN_MAX)}"'
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return shortened(text, _SHOWN_MAX)


def unknown_property(name: str, known: list[str]) -> str:
    """The sentence for a property that does not exist, with the nearest that does."""
    lowered = {one.lower().replace("_", ""): one for one in known}
    shown = shortened(name)
    near = difflib.get_close_matches(name.lower().replace("_", ""), lowered, n=1, cutoff=0.6)
    if near:
        return f'there is no property "{shown}"; did you mean "{lowered[near[0]]}"?'
    return f'there is no property "{shown}"; there are: {", ".join(sorted(known))}'


def _fields_at(model: type[Spec], path: Path) -> dict[str, FieldFacts]:
    """The properties of the object that a path leads to."""
    known = fields(model)
    for part, field, is_key in along(model, path):
        if isinstance(part, str) and not is_key:
            known = fields(field.item) if field is not None and field.item is not None else {}
    return known


def failures_text(failures: tuple[Failure, ...]) -> str:
    """All failures in one sentence, for doors that can show only one."""
    return "; ".join(f"{dotted(failure.path)}: {failure.message}" for failure in failures)
