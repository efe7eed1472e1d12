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
from jvp.core.types import shortened
from jvp.core.values import PLAIN, UNKNOWN, Bag, Secret, reveal, secret_paths, secret_texts

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
        """Itself. Raises Invalid for inputs that break a rule."""
        for first in self.failures:
            raise Invalid(first.message, path=first.path)
        return self


def check(model: type[S], raw: Bag) -> Checked[S]:
    """Validate `raw`. Unknown values pass; what can be known about the rest is checked."""
    hidden = secret_paths(raw)
    try:
        spec = model.model_validate(_set(raw))
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
        inner, filled = given.get(name), whole.get(name)
        if field.fact(Derived) is not None and filled is not None:
            found[name] = filled
        elif field.item is not None and isinstance(inner, dict) and isinstance(filled, dict):
            found[name] = _with_derived(field.item, inner, filled)
    return found


def spec_values(spec: BaseModel) -> dict[str, Any]:
    """The top-level values by field name, sub-models as bags: what `model_validate` takes again."""
    return {name: plain(getattr(spec, name)) for name in type(spec).model_fields}


def hide(bag: Bag, paths: set[Path], model: type[BaseModel]) -> Bag:
    """`bag` with Secrets at `paths`, and at every property that is always secret."""
    if not paths and not hides(model):
        return dict(bag)
    known, inside = fields(model), {path[0] for path in paths if path}
    return {
        name: _hidden(value, {path[1:] for path in paths if path and path[0] == name}, known.get(name))
        if name in inside or (name in known and known[name].hides)
        else value
        for name, value in bag.items()
    }


def _hidden(value: Any, paths: set[Path], field: FieldFacts | None) -> Any:
    if isinstance(value, Secret) or value is None or not (paths or (field is not None and field.hides)):
        return value
    if () in paths or (field is not None and field.sensitive):
        return Secret(reveal(value))
    item = field.item if field else None
    if isinstance(value, dict):
        known = fields(item) if item else {}
        return {
            key: _hidden(inner, {path[1:] for path in paths if path[0] == key}, known.get(key))
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [
            _hidden_item(inner, {path[1:] for path in paths if path[0] == index}, item)
            for index, inner in enumerate(value)
        ]
    return value


def _hidden_item(value: Any, paths: set[Path], model: type[BaseModel] | None) -> Any:
    if model and isinstance(value, dict) and () not in paths:
        return hide(value, paths, model)
    return _hidden(value, paths, None)


@cache
def _derives(model: type[BaseModel]) -> bool:
    return any(
        field.fact(Derived) is not None or (field.item is not None and _derives(field.item))
        for field in fields(model).values()
    )


def underived(model: type[BaseModel], raw: Bag) -> Bag:
    """`raw` without what follows from the rest: a program may have it from an import, where it is of that time."""
    found: Bag = {}
    for name, value in raw.items():
        field = fields(model).get(name)
        if field is not None and field.fact(Derived) is not None:
            continue
        nested = field is not None and field.item is not None and isinstance(value, dict)
        found[name] = underived(field.item, value) if nested and field and field.item else value
    return found


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
        path = _path(detail)
        if any(path[: len(where)] == where for where in secret):
            detail["input"] = Secret(None)
        yield Failure(path, _sentence(model, path, detail))


def _path(detail: ErrorDetails) -> Path:
    """Where it is, without the names of validators; the name that a user made up may look like one."""
    *holders, last = detail["loc"] or ("",)
    made_up = detail["type"] == "extra_forbidden"
    return tuple(
        one for one in (*holders, last) if (made_up and one is last) or not (isinstance(one, str) and "[" in one)
    )


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
    known = fields(model)
    for part in path:
        if isinstance(part, int):
            continue
        item = known[part].item if part in known else None
        if item is None:
            return {}
        known = fields(item)
    return known


def failures_text(failures: tuple[Failure, ...]) -> str:
    """All failures in one sentence, for doors that can show only one."""
    return "; ".join(f"{dotted(failure.path)}: {failure.message}" for failure in failures)
