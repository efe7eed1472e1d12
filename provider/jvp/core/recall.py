"""What an engine's state would know of an object, from the object itself: its mark, and how it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from jvp.core import bags
from jvp.core.bags import Given
from jvp.core.check import Checked, check
from jvp.core.declaration import Declaration, Name, Noted, is_one
from jvp.core.diff import declared
from jvp.core.errors import Invalid
from jvp.core.facts import Later
from jvp.core.handler import AnyHandler, Partial
from jvp.core.model import FieldFacts, Spec, fields, load
from jvp.core.stored import Stored
from jvp.core.tree import parts
from jvp.core.values import Bag, Secret, opened
from jvp.core.wanted import unmanaged
from jvp.core.work import Work, running

NOTHING = Declaration()
_DROPPED = object()


@dataclass(frozen=True)
class Document:
    """A declaration as somebody gave it, without a state of what was declared before."""

    checked: Checked[Any]
    dropped: frozenset[str] = frozenset()
    """What cannot be read and is given as null: it is taken out. Left out it stays, for an export cannot say it."""

    @classmethod
    def of(cls, handler: AnyHandler, given: Given) -> Document:
        """Raises Invalid for what breaks a rule."""
        raw = given if isinstance(given, dict) else {}
        dropped = (name for name, facts in fields(handler.spec).items() if _is_unreadable(facts) and name in raw)
        return cls(bags.checked(handler, given).sound(), frozenset(name for name in dropped if raw[name] is None))


def read(
    handler: AnyHandler, object_id: str, noted: Noted, work: Work, *, ours: bool, like: Document | None = None
) -> Stored | None:
    """The object as an engine would have kept it; None when it is gone. Writes nothing.

    Spelled `like` a declaration where that means the same. Of what is not `ours`, and of what bears no names, nothing
    counts as taken out, as after an import.
    """
    given = like.checked.whole if like is not None else {}
    prior = load(handler.state, given) if like is not None else None
    looking = replace(work, mark=None, looks=True)
    with running(looking):
        found = handler.read(looking, object_id, prior)
    if found is None:
        return None
    state = found.state if isinstance(found, Partial) else found
    noted_last = noted.declaration or NOTHING
    bag = _remembered(handler.spec, bags.state_bag(handler, state, given, {}), noted_last, like)
    private: Bag = {"unfinished": list(found.reasons)} if isinstance(found, Partial) else {}
    if noted.mark is not None:
        private |= {"made": [noted.mark.key, noted.mark.generation]} if noted.mark.key else {"marked": True}
    if ours and noted_last.names:
        known = Stored(object_id, _named(handler.spec, bag, noted_last.names), bag, private)
    else:
        private |= {"imported": True, "unmanaged": unmanaged(handler.spec, bag)}
        known = Stored(object_id, _unlike_defaults(handler.spec, bag), bag, private)
    return _consistent(handler.spec, known, like.checked.inputs if like is not None else {})


def remembered(model: type[Spec], state: Bag, noted: Noted) -> Bag:
    """A state as it was read, with the settings that act later: those that are noted, else their defaults."""
    return _remembered(model, state, noted.declaration or NOTHING, None)


def exported(model: type[Spec], known: Stored) -> Bag:
    """What a document of the object declares: what was declared, and what else is unlike its default."""
    return _exported(model, known).inputs


def _exported(model: type[Spec], known: Stored) -> Checked[Any]:
    inputs = known.inputs
    if not known.imported:
        inputs = declared(model, known.state, inputs, check(model, inputs).whole)
    return check(model, inputs)


def _consistent(model: type[Spec], known: Stored, given: Bag) -> Stored:
    """Without the settings that the object as it is cannot be declared with, but for those that a document gives.

    A guest that waits for an address was stopped since: declared as it is, it waits for none.
    """
    broken = {str(failure.path[0]) for failure in _exported(model, known).failures if len(failure.path) == 1}
    lost = {name for name in broken - given.keys() if fields(model)[name].fact(Later) is not None}
    if not lost:
        return known
    inputs = {name: value for name, value in known.inputs.items() if name not in lost}
    return replace(known, inputs=inputs, state={**known.state, **{name: fields(model)[name].default for name in lost}})


def declaring(model: type[Spec], noted: Noted, wants: Checked[Any], document: Document, identity: str) -> Declaration:
    """What is declared of an object that is there.

    What a document cannot say, for it cannot be read, and leaves out, is still declared.
    """
    new, old = Declaration.of(model, document.checked.inputs, wants.whole, identity), noted.declaration or NOTHING
    kept = {name for name, facts in fields(model).items() if _is_kept(facts, name, document, old)}
    return Declaration(
        tuple(sorted({*new.names, *(name for name in old.names if name[0] in kept)})),
        {**{name: text for name, text in old.digests.items() if name.partition(".")[0] in kept}, **new.digests},
        {**{name: value for name, value in old.settings.items() if name in kept}, **new.settings},
    )


def is_noted(model: type[Spec], noted: Noted, new: Declaration, whole: Bag) -> bool:
    """Whether the mark says already what a new declaration would have it say."""
    old = noted.declaration
    if (
        old is None
        or old.names != new.names
        or old.settings != new.settings
        or old.digests.keys() != new.digests.keys()
    ):
        return False
    return all(
        text == new.digests[name] or old.matches(model, tuple(name.split(".")), _at(whole, name))
        for name, text in old.digests.items()
    )


def with_options(handler: AnyHandler, known: Stored, options: Bag) -> Stored:
    """The object with other settings than its declaration's. Raises Invalid for what is none."""
    settings = {name: facts for name, facts in fields(handler.spec).items() if facts.fact(Later) is not None}
    for name in options:
        if name not in settings:
            what = f"{'an' if handler.kind[0] in 'aeiou' else 'a'} {handler.kind}"
            raise Invalid(f"is no setting of {what}; there are: {', '.join(settings) or 'none'}", path=(name,))
    checked = check(handler.spec, {**known.inputs, **options})
    for failure in checked.failures:
        if failure.path and failure.path[0] in options:
            raise Invalid(failure.message, path=failure.path)
    # As the check has them: a text like "no" must not count as true. What breaks a rule elsewhere is not read by it.
    values = checked.whole if checked.spec is not None else options
    meant = {name: settings[name].default if values.get(name) is None else values[name] for name in options}
    for name, value in meant.items():
        if not is_one(settings[name], value):
            words = "must be true or false" if settings[name].annotation is bool else "is none of its values"
            raise Invalid(words, path=(name,))
    return replace(known, state={**known.state, **meant})


def _is_unreadable(facts: FieldFacts) -> bool:
    """Whether neither the host nor the mark can tell the value."""
    return facts.write_only and facts.fact(Later) is None


def _is_kept(facts: FieldFacts, name: str, document: Document, old: Declaration) -> bool:
    said = name in document.checked.inputs or name in document.dropped
    return _is_unreadable(facts) and not said and any(one.partition(".")[0] == name for one in old.digests)


def _remembered(model: type[Spec], bag: Bag, noted: Declaration, like: Document | None) -> Bag:
    """A state with what only the mark knows: settings, and whether a write-only value is the declared one."""
    given = {**like.checked.whole, **dict.fromkeys(like.dropped, _DROPPED)} if like is not None else None
    return _filled(model, model, bag, noted, noted.settings, given, ())


def _filled(
    root: type[Spec], model: type[Spec], bag: Bag, noted: Declaration, settings: Bag, given: Bag | None, place: Name
) -> Bag:
    found = dict(bag)
    for name, facts in fields(model).items():
        later, here = facts.fact(Later), (*place, name)
        if facts.output is not None:
            continue
        if later is not None:
            # Values that only some words of are noted a read told, but for these words where nobody said how to spell.
            if not later.words:
                found[name] = settings.get(name, facts.default)
            elif given is None and name in settings:
                found[name] = settings[name]
        elif facts.write_only:
            value = _unreadable(root, facts, noted, _part(settings, name), (given or {}).get(name), here)
            found = {**found, name: value} if value is not None else {one: v for one, v in found.items() if one != name}
        elif facts.item is not None and not facts.holds_many and isinstance(opened(found.get(name)), dict):
            inner = _part(given, name) if given is not None else None
            found[name] = _filled(root, facts.item, opened(found[name]), noted, _part(settings, name), inner, here)
    return found


def _unreadable(
    root: type[Spec], facts: FieldFacts, noted: Declaration, settings: Bag, wanted: Any, place: Name
) -> Any:
    """What the state has of a write-only value: the wanted one where it is the declared one, else any other.

    None where there is nothing to compare: it was not declared, or the document does not say it.
    """
    if wanted is None or ".".join(place) not in noted.digests:
        return None
    same = wanted is not _DROPPED and noted.matches(root, place, wanted)
    if facts.item is None or facts.holds_many:
        return wanted if same else [] if facts.is_list else {} if facts.is_map else Secret("")
    inside = {name: one for name, one in fields(facts.item).items() if one.fact(Later) is not None}
    return {
        **(opened(wanted) if same else {}),
        **{name: settings.get(name, one.default) for name, one in inside.items()},
    }


def _part(bag: Bag | None, name: str) -> Bag:
    found = opened((bag or {}).get(name))
    return found if isinstance(found, dict) else {}


def _at(whole: Bag, name: str) -> Any:
    found: Any = whole
    for part in name.split("."):
        found = opened(found).get(part) if isinstance(opened(found), dict) else None
    return found


def _named(model: type[Spec], bag: Bag, names: Iterable[Name]) -> Bag:
    """The values of these names."""
    inside: dict[str, list[Name]] = {}
    for name in filter(None, names):
        inside.setdefault(name[0], []).append(name[1:])
    return {
        name: _named_in(fields(model)[name], bag[name], inner)
        for name, inner in inside.items()
        if bag.get(name) is not None
    }


def _named_in(facts: FieldFacts, value: Any, names: Collection[Name]) -> Any:
    if facts.item is None or () in names or not isinstance(plain := opened(value), dict | list):
        return value
    if not facts.holds_many:
        return _named(facts.item, plain, names) if isinstance(plain, dict) else value
    found = [
        (place[0], item, [one[len(place) :] for one in names if one[: len(place)] == place])
        for _, place, item in parts(facts, plain)
    ]
    if facts.is_map:
        return {key: _named(facts.item, item, inner) for key, item, inner in found if inner}
    name = facts.item.key
    return [{**_named(facts.item, item, inner), name: item[name]} for _, item, inner in found if inner]


def _unlike_defaults(model: type[Spec], bag: Bag) -> Bag:
    return {
        name: bag[name]
        for name, facts in fields(model).items()
        if bag.get(name) is not None and (facts.required or bag[name] != facts.default)
    }
