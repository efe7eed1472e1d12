"""What was declared last of an object, as the object's own mark keeps it.

An engine has a state, which stays the authority for its own plan; the mark follows it. Who has none reads here what was
set, so that what is taken out can be told, and the settings that act later. Nothing in it is secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jvp.core.diff import differs
from jvp.core.facts import Derived, Later
from jvp.core.identity import Mark
from jvp.core.model import FieldFacts, Spec, fields
from jvp.core.text import is_harmless
from jvp.core.values import PLAIN, Bag, Secret, opened, reveal

Name = tuple[str, ...]
"""Where a property stands; an item of a list stands under its key: ("nics", "eth0", "network")."""
_DEEPEST, _MOST, _LONGEST = 8, 4000, 1000
"""No note of ours has deeper, more or longer names."""
_COST = 2**12
"""scrypt's N: 9 ms and 4 MiB for each guess."""


@dataclass(frozen=True)
class Declaration:
    """What was declared last of an object."""

    names: tuple[Name, ...] = ()
    """What was set, in order. Without any, nothing counts as taken out. Nothing is named inside of what is write-only
    or secret."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """A salted digest of each write-only value, by its dotted name. One guess costs as much as making it."""
    settings: Bag = field(default_factory=dict)
    """The values of properties that act later (`Later`), where they are not the default."""

    @classmethod
    def of(cls, model: type[Spec], inputs: Bag, whole: Bag, identity: str) -> Declaration:
        """From what was set, and the same with defaults filled in. Digests are salted by the object's `identity`."""
        salt = hashlib.sha256(identity.encode()).hexdigest()[:16]
        digests = {".".join(name): _digest(facts, value, salt) for name, facts, value in _write_only(model, whole, ())}
        return cls(tuple(sorted(_names(model, inputs, ()))), digests, _settings(model, whole))

    @classmethod
    def read(cls, found: object) -> Declaration | None:
        """From a note on an object, or its text. Anybody may write there: what is odd in it is left out.

        None for what is no note.
        """
        found = _loaded(found) if isinstance(found, str) else found
        if not isinstance(found, dict):
            return None
        digests = found.get("digests")
        digests = digests if isinstance(digests, dict) else {}
        return cls(
            tuple(sorted(_leaves(found.get("names"), ())))[:_MOST],
            {name: text for name, text in digests.items() if _is_short(name) and _is_short(text)},
            _plain(found.get("settings"), _DEEPEST),
        )

    def note(self) -> dict[str, Any]:
        """As it is noted on an object, in JSON."""
        names: dict[str, Any] = {}
        for name in self.names:
            inside = names
            for part in name:
                inside = inside.setdefault(part, {})
        found = {"names": names, "digests": dict(self.digests), "settings": self.settings}
        return {word: value for word, value in found.items() if value}

    @property
    def text(self) -> str:
        """The note as text, in ASCII; equal for equal declarations."""
        return json.dumps(self.note(), sort_keys=True, separators=(",", ":"))

    def nameless(self) -> Declaration:
        """Itself without the names, where there is no room for them or they are not known."""
        return replace(self, names=())

    def named_as(self, noted: str) -> Declaration:
        """Itself with the names of the declaration that this text notes."""
        old = Declaration.read(noted)
        return replace(self, names=old.names if old is not None else ())

    def known_to(self, model: type[Spec]) -> Declaration:
        """What a model knows of it: another version may have noted other properties, and a stranger any."""
        names = tuple(name for name in self.names if _leads(model, name))
        digests = {name: text for name, text in self.digests.items() if _at(model, tuple(name.split(".")))}
        return Declaration(names, digests, _valid(model, self.settings))

    def matches(self, model: type[Spec], name: Name, value: Any) -> bool:
        """Whether `value`, with defaults filled in, is the write-only one that was declared under this name.

        What acts later does not count: it is noted among the settings.
        """
        noted, facts = self.digests.get(".".join(name)), _at(model, name)
        if noted is None or facts is None:
            return False
        return hmac.compare_digest(_digest(facts, value, noted.partition("$")[0]).encode(), noted.encode())


def nameless(text: str) -> str:
    """The text of a note without its names; empty for what is no note."""
    found = Declaration.read(text)
    return found.nameless().text if found is not None else ""


@dataclass(frozen=True)
class Noted:
    """What is written on an object: who has it, and what was declared last. Of a foreign one neither is known."""

    mark: Mark | None = None
    declaration: Declaration | None = None
    """None in marks of older versions, which did not note it."""

    @classmethod
    def of(cls, mark: Mark | None, model: type[Spec]) -> Noted:
        """What a mark says of an object of this model."""
        found = Declaration.read(mark.declared) if mark is not None and mark.declared else None
        return cls(mark, found.known_to(model) if found is not None else None)


def _names(model: type[Spec], inputs: Bag, place: Name) -> Iterator[Name]:
    for name, facts in fields(model).items():
        value, here = inputs.get(name), (*place, name)
        if value is None or facts.fact(Derived) is not None:
            continue
        inside = [] if facts.write_only else [
            one
            for parts, item in _parts(facts, value)
            for one in list(_names(_item(facts), item, (*here, *parts))) or ([(*here, *parts)] if parts else [])
        ]  # fmt: skip
        yield from inside or [here]


def _parts(facts: FieldFacts, value: Any) -> Iterator[tuple[Name, Bag]]:
    """The sub-models in a value, each with the key that it has in a list or map. None of what is secret."""
    if facts.is_map and facts.item is not None and isinstance(value, dict):
        yield from (((key,), item) for key, item in value.items() if isinstance(item, dict))
    elif facts.item is not None and isinstance(value, dict):
        yield (), value
    elif facts.item is not None and isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield (str(reveal(item.get(facts.item.key))),), item


def _item(facts: FieldFacts) -> type[Spec]:
    assert facts.item is not None
    return facts.item


def _write_only(model: type[Spec], whole: Bag, place: Name) -> Iterator[tuple[Name, FieldFacts, Any]]:
    """The write-only values that are no settings."""
    for name, facts in fields(model).items():
        value, here = whole.get(name), (*place, name)
        if value is None or facts.output is not None or facts.fact(Later) is not None:
            continue
        if facts.write_only:
            yield here, facts, value
        else:
            for parts, item in _parts(facts, value):
                yield from _write_only(_item(facts), item, (*here, *parts))


def _settings(model: type[Spec], whole: Bag, *, hidden: bool = False) -> Bag:
    """What acts later and is not the default. Inside of what is secret, words of ours alone."""
    found: Bag = {}
    for name, facts in fields(model).items():
        value, later = whole.get(name), facts.fact(Later)
        if later is not None and _is_noted(facts, later, value, hidden=hidden):
            found[name] = value
        elif later is None and facts.item is not None and not facts.holds_many and isinstance(opened(value), dict):
            inside = _settings(facts.item, opened(value), hidden=hidden or isinstance(value, Secret))
            found.update({name: inside} if inside else {})
    return found


def _is_noted(facts: FieldFacts, later: Later, value: Any, *, hidden: bool) -> bool:
    if type(value) not in PLAIN or value is None or (hidden and not _is_worded(facts)):
        return False
    return later.keeps(value) and (facts.default is None or differs(facts, value, facts.default))


def _is_worded(facts: FieldFacts) -> bool:
    """Whether its values are words of ours, in which no secret can be."""
    return facts.annotation is bool or typing.get_origin(facts.annotation) is typing.Literal


def _valid(model: type[Spec], settings: Bag) -> Bag:
    """Of settings that somebody may have written, those that can be declared."""
    found: Bag = {}
    for name, facts in fields(model).items():
        value, later = settings.get(name), facts.fact(Later)
        if later is not None and later.keeps(value) and is_one(facts, value):
            found[name] = value
        elif later is None and facts.item is not None and not facts.holds_many and isinstance(value, dict):
            inside = _valid(facts.item, value)
            found.update({name: inside} if inside else {})
    return found


def is_one(facts: FieldFacts, value: Any) -> bool:
    """Whether it is a value of this property."""
    if typing.get_origin(facts.annotation) is typing.Literal:
        return isinstance(value, str) and value in typing.get_args(facts.annotation)
    if type(value) is not facts.annotation:
        return False
    try:
        return facts.same is None or facts.same.canonical(value) is not None
    except ValueError:
        return False


def _leads(model: type[Spec], name: Name) -> bool:
    """Whether a name leads to a property."""
    facts = fields(model).get(name[0]) if name else None
    inside = name[2:] if facts is not None and facts.holds_many else name[1:]
    if facts is None or not name[1:]:
        return facts is not None
    return facts.item is not None and (not inside or _leads(facts.item, inside))


def _at(model: type[Spec], name: Name) -> FieldFacts | None:
    """The write-only property that a name leads to."""
    facts = fields(model).get(name[0]) if name else None
    if facts is None or len(name) == 1 or facts.item is None:
        return facts if facts is not None and facts.write_only and len(name) == 1 else None
    return _at(facts.item, name[2:] if facts.holds_many else name[1:])


def _digest(facts: FieldFacts, value: Any, salt: str) -> str:
    text = json.dumps(_meaning(facts, reveal(value)), sort_keys=True, default=repr)
    # Of a long text once, and not at each of scrypt's own passes.
    short = hashlib.sha256(text.encode()).digest()
    return f"{salt}${hashlib.scrypt(short, salt=salt.encode(), n=_COST, r=8, p=1, dklen=16).hex()}"


def _meaning(facts: FieldFacts, value: Any) -> Any:
    """A value in a form that is the same for all its spellings, and for one that has the defaults filled in."""
    if facts.item is None:
        return facts.canonical(value)
    if isinstance(value, list):
        return {str(item[facts.item.key]): _meant(facts.item, item) for item in value}
    if facts.is_map:
        return {key: _meant(facts.item, item) for key, item in value.items()}
    return _meant(facts.item, value)


def _meant(model: type[Spec], value: Bag) -> Bag:
    known = fields(model)
    return {
        name: _meaning(known[name], item)
        for name, item in value.items()
        if name in known and known[name].fact(Later) is None and item not in (None, [], {}, known[name].default)
    }


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _leaves(found: Any, place: Name) -> Iterator[Name]:
    """The names in a tree of them."""
    for part, inside in found.items() if isinstance(found, dict) else ():
        if _is_short(part) and len(place) < _DEEPEST:
            leaves = list(_leaves(inside, (*place, part)))
            yield from leaves or [(*place, part)]


def _plain(found: Any, depth: int) -> Bag:
    """What is a bag of short plain values."""
    bag: Bag = {}
    for name, value in found.items() if isinstance(found, dict) and depth else ():
        if not _is_short(name):
            continue
        if isinstance(value, dict):
            bag[name] = _plain(value, depth - 1)
        elif value is not None and type(value) in PLAIN and value == value and not _is_long(value):  # nor is it NaN
            bag[name] = value
    return bag


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and not _is_short(value)


def _is_short(text: Any) -> bool:
    return isinstance(text, str) and len(text) <= _LONGEST and is_harmless(text)
