"""What requests and answers hold: declarations, objects, plans."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

from fastapi import Body
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from jvp.core.diff import Change
from jvp.core.errors import Forbidden, Invalid, Path, dotted
from jvp.core.facts import ForAdmins, LocalFile, Output, Uploaded
from jvp.core.handler import AnyType
from jvp.core.model import FieldFacts, Spec, fields
from jvp.core.objects import Found, Planned
from jvp.doors.rest.problems import pointer
from jvp.doors.rest.requests import plain

Bag = dict[str, Any]
DEPTH_MAX = 50


def shallow(body: Bag | None) -> Bag | None:
    """A body that every walk through it can end. Raises PydanticCustomError."""
    level: list[Any] = [body]
    for _ in range(DEPTH_MAX):
        level = [inner for one in level if isinstance(one, dict | list) for inner in _inside(one)]
        if not level:
            return body
    raise PydanticCustomError("depth", "is nested deeper than {limit} levels", {"limit": DEPTH_MAX})


def _inside(value: Bag | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


Declared = Annotated[Bag, AfterValidator(shallow), Body()]
Arguments = Annotated[Bag | None, AfterValidator(shallow), Body()]


def document(found: Found, unfinished: Iterable[str] = ()) -> Bag:
    """An object as it is shown: what is declared and what the host tells, without secrets. And what is left undone."""
    by = found.declared_by.note() if found.declared_by is not None else None
    left = [*unfinished]
    return {"id": found.id, **plain(found.state), "declaredBy": by, **({"unfinished": left} if left else {})}


def planned(plan: Planned, warnings: Iterable[str]) -> Bag:
    """A plan as it is shown."""
    changed = "update" if plan.changes or plan.unfinished else "none"
    action = "create" if plan.id is None else "replace" if plan.replaces else changed
    return {
        "action": action,
        "id": plan.id,
        "changes": [_change(change) for change in plan.changes],
        "warnings": [*warnings],
        "state": plain(plan.state),
        **({"unfinished": [*plan.unfinished]} if plan.unfinished else {}),
        **({"holder": plan.holder} if plan.holder is not None else {}),
    }


def _change(change: Change) -> Bag:
    return {
        "property": dotted(change.path),
        "pointer": pointer(change.path),
        "kind": change.kind.value,
        "effect": change.effect.words,
        "note": change.note or None,
    }


def declarable(kind: AnyType, body: Bag) -> Bag:
    """What a program may declare of what a client read and sends back: outputs are dropped."""
    given, outputs = fields(kind.spec), fields(kind.state)
    ours = {name for name in outputs if name not in given} | {"id", "declaredBy", "unfinished"}
    return {name: value for name, value in body.items() if name not in ours}


def merged(target: Mapping[str, Any], patch: Mapping[str, Any]) -> Bag:
    """A JSON merge patch. Source: RFC 7396."""
    found = dict(target)
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, dict):
            inner = found.get(name)
            found[name] = merged(inner if isinstance(inner, dict) else {}, value)
        else:
            found[name] = value
    return found


def refuse_local_files(model: type[Spec], body: Any, path: tuple[str | int, ...] = ()) -> None:
    """Raise Invalid for a property that names a file of the machine where the provider runs: that is the server's."""
    for name, facts in fields(model).items():
        value = body.get(name) if isinstance(body, dict) else None
        if value is None or facts.fact(Output) is not None:
            continue
        if facts.fact(LocalFile) is not None:
            raise Invalid("names a file of the server; upload the image, or give its url", path=(*path, name))
        if facts.item is not None:
            for index, item in enumerate(value) if isinstance(value, list) else ((None, value),):
                refuse_local_files(facts.item, item, (*path, name) if index is None else (*path, name, index))


def named_by_checksum(model: type[Spec], body: Bag, checksum: Callable[[str, Path], str]) -> Bag:
    """A declaration in which uploads are named by their checksums, which `checksum` tells of an id."""
    if not any(True for _ in _uploads(model, body)):
        return body
    made: Bag = copy.deepcopy(body)
    for holder, name, path in _uploads(model, made):
        holder[name] = checksum(holder[name], path)
    return made


def uploads_in(model: type[Spec], body: Bag) -> list[str]:
    """The checksums of the uploads that a declaration names."""
    return [holder[name] for holder, name, _ in _uploads(model, body)]


def _uploads(model: type[Spec], body: Any, path: Path = ()) -> Iterator[tuple[Bag, str, Path]]:
    for name, facts in fields(model).items():
        value = body.get(name) if isinstance(body, dict) else None
        if facts.fact(Uploaded) is not None and isinstance(value, str):
            yield body, name, (*path, name)
        elif facts.item is not None and not facts.is_list:
            yield from _uploads(facts.item, value, (*path, name))


def may_hide(model: type[Spec], value: Any) -> bool:
    """Whether something in a body may be a secret: what the model hides, what it does not know, and the part of an
    address that is shown to nobody."""
    if not isinstance(value, dict):
        return value is not None
    known = fields(model)
    return any(inner is not None and (name not in known or _hides(known[name], inner)) for name, inner in value.items())


def _hides(facts: FieldFacts, value: Any) -> bool:
    if facts.hides or facts.item is None:
        return facts.hides or _has_login(value)
    if facts.is_list:
        return not isinstance(value, list) or any(may_hide(facts.item, one) for one in value)
    if facts.is_map:
        return not isinstance(value, dict) or any(may_hide(facts.item, one) for one in value.values())
    return may_hide(facts.item, value)


def _has_login(value: Any) -> bool:
    """Whether an address is in it that may hold a password or a signature."""
    if isinstance(value, dict | list):
        return any(map(_has_login, _inside(value)))
    return isinstance(value, str) and "://" in value and ("@" in value or "?" in value)


def refuse_for_admins(model: type[Spec], body: Any, there: Any, path: tuple[str | int, ...] = ()) -> None:
    """Raise Forbidden for a property that only an admin may set, unless what is `there` has the same already."""
    for name, facts in fields(model).items():
        value, old = (one.get(name) if isinstance(one, dict) else None for one in (body, there))
        if value is None or value == [] or facts.fact(Output) is not None:
            continue
        fact = facts.fact(ForAdmins)
        if fact is not None and fact.takes(value) and not _is_same(facts, value, old):
            raise Forbidden(f"{fact.what}, which takes the role admin", path=(*path, name))
        if facts.item is not None:
            _refuse_items(facts, value, old, (*path, name))


def _is_same(facts: FieldFacts, value: Any, old: Any) -> bool:
    if facts.holds_many and facts.item is not None:
        return bool(_whole(facts.item, value) == _whole(facts.item, old))
    texts = isinstance(value, str) and isinstance(old, str)
    return bool(value == old) or (texts and facts.canonical(value) == facts.canonical(old))


def _whole(item: type[Spec], items: Any) -> Any:
    """The items of a list with their defaults, in an order of their own; as they are where they make no sense."""
    try:
        return sorted((item.model_validate(one).bag() for one in items or ()), key=str)
    except (TypeError, ValueError):
        return items


def _refuse_items(facts: FieldFacts, value: Any, old: Any, path: tuple[str | int, ...]) -> None:
    assert facts.item is not None
    if not isinstance(value, list):
        refuse_for_admins(facts.item, value, old, path)
        return
    key = facts.item.key
    olds = {one.get(key): one for one in old or () if isinstance(one, dict)} if isinstance(old, list) else {}
    for index, item in enumerate(value):
        name = item.get(key) if isinstance(item, dict) else None
        refuse_for_admins(facts.item, item, olds.get(name) if isinstance(name, str) else None, (*path, index))


def refuse_parts(model: type[Spec], patch: Bag) -> None:
    """Raise Invalid for a part of what cannot be read back: merged into nothing, it would lose the rest."""
    for name, facts in fields(model).items():
        if facts.write_only and facts.item is not None and isinstance(patch.get(name), dict):
            raise Invalid("cannot be read back, so no part of it can be changed; give all of it with PUT", path=(name,))
