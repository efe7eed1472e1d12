"""What an object's mark keeps of its declaration: names, settings that act later, and nothing that is secret."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from toys import Car

from jvp.core import recall
from jvp.core.check import check
from jvp.core.declaration import Declaration, Noted
from jvp.core.facts import Later, WriteOnly
from jvp.core.identity import DeclaredBy, Key, Mark
from jvp.core.model import Spec, fields
from jvp.core.types import Duration
from jvp.core.values import Secret
from jvp.resources.instance.model import Instance
from jvp.resources.network.model import Network
from jvp.resources.storage.pool_model import StoragePool
from jvp.resources.storage.template_model import Template
from jvp.resources.storage.volume_model import Volume

HERE = DeclaredBy("pulumi", "shop/dev", "urn")
KEY = Key("me", "Car", "a", declared_by=HERE)
USER = {"name": "eva", "password": Secret("correct horse"), "groups": ["adm"]}
SEED: dict[str, Any] = {"users": [USER], "files": [{"path": "/etc/a.b", "content": "text", "permissions": "0600"}]}
MACHINE: dict[str, Any] = {
    "name": "a", "template": "p/t", "memory": "1GiB", "nics": [{"name": "eth0", "network": "lan"}],
    "rootDisk": {"deleteWithInstance": True}, "cloudInit": {**SEED, "onChange": "replace"},
    "shutdownTimeout": "90s", "waitFor": "none", "powerState": "unmanaged",
}  # fmt: skip


class Spout(Spec):
    """Inside of it."""

    patience: Annotated[Duration, Later(), Field(description="How long.")] = "60s"
    width: Annotated[int | None, Field(description="How wide.")] = None


class Kettle(Spec):
    """A toy whose settings act later."""

    patience: Annotated[Duration, WriteOnly(), Later(), Field(description="How long.")] = "60s"
    mode: Annotated[Literal["slow", "quick"], Later("quick"), Field(description="How.")] = "slow"
    spout: Annotated[Spout | None, WriteOnly(), Field(description="Where it comes out.")] = None


def declared(model: type[Spec], raw: dict[str, Any]) -> Declaration:
    checked = check(model, raw).sound()
    return Declaration.of(model, checked.inputs, checked.whole, "id")


def test_it_names_what_was_set_and_settings_that_are_not_the_default() -> None:
    found = declared(Instance, MACHINE)
    assert found.names == (
        ("cloudInit",), ("memory",), ("name",), ("nics", "eth0", "name"), ("nics", "eth0", "network"), ("powerState",),
        ("rootDisk", "deleteWithInstance"), ("shutdownTimeout",), ("template",), ("waitFor",),
    )  # fmt: skip
    assert found.settings == {
        "rootDisk": {"deleteWithInstance": True},
        "cloudInit": {"onChange": "replace"},
        "shutdownTimeout": "90s",
        "powerState": "unmanaged",
    }
    assert list(found.digests) == ["cloudInit"]
    assert not any(text in found.text for text in ("correct", "eva", "/etc", "1GiB"))
    assert declared(StoragePool, {"name": "p"}).text == '{"names":{"name":{}}}'
    assert declared(Network, {"name": "n", "reservations": [], "mode": "isolated"}).names == (
        ("mode",), ("name",), ("reservations",)
    )  # fmt: skip


def test_a_note_is_read_back_and_equal_declarations_have_equal_texts() -> None:
    found = declared(Instance, MACHINE)
    assert Declaration.read(found.text) == Declaration.read(json.loads(found.text)) == found
    assert found.known_to(Instance) == found
    assert Declaration.read(declared(StoragePool, {}).text) == Declaration()
    one, other = ({"size": "1GiB", "pool": "p", "name": "v"}, {"name": "v", "pool": "q", "size": "2GiB"})
    assert declared(Volume, one).text == declared(Volume, other).text


def test_only_the_value_that_was_declared_matches_in_any_spelling() -> None:
    def whole(**seed: Any) -> Any:
        return check(Instance, {**MACHINE, "cloudInit": {**SEED, **seed}}).sound().whole["cloudInit"]

    found = declared(Instance, MACHINE)
    place = ("cloudInit",)
    assert found.matches(Instance, place, whole())
    assert found.matches(Instance, place, Secret(whole(onChange="ignore")))  # which is a setting
    assert found.matches(Instance, place, whole(packages=[], files=[{**SEED["files"][0], "permissions": "600"}]))
    assert not found.matches(Instance, place, whole(users=[{**USER, "password": Secret("correct horse ")}]))
    assert not found.matches(Instance, place, whole(users=[]))
    assert not found.matches(Instance, ("memory",), "1GiB")
    assert not Declaration().matches(Instance, place, whole())
    checked = check(Instance, MACHINE).sound()
    assert found.digests == declared(Instance, MACHINE).digests, "derived, not drawn"
    assert found.digests != Declaration.of(Instance, checked.inputs, checked.whole, "other").digests


def test_nothing_is_told_from_inside_a_secret() -> None:
    secret = declared(Instance, {**MACHINE, "shutdownTimeout": Secret("71s"), "nics": Secret(MACHINE["nics"]),
                                 "cloudInit": Secret(MACHINE["cloudInit"])})  # fmt: skip
    assert "71s" not in secret.text
    assert "eth0" not in secret.text
    assert {("nics",), ("shutdownTimeout",), ("cloudInit",)} <= set(secret.names)
    assert secret.settings["cloudInit"] == {"onChange": "replace"}, "a word of ours tells no secret"
    assert secret.digests


def test_every_write_only_property_of_every_kind_is_kept_in_one_way() -> None:
    for model in (Instance, Network, StoragePool, Template, Volume):
        for name, facts in fields(model).items():
            if facts.write_only and facts.fact(Later) is None:
                base = MACHINE if model is Instance else {"pool": "p", "size": "1GiB"}
                found = declared(model, {**base, name: base.get(name, {"word": "a"})})
                assert name in found.digests


@pytest.mark.parametrize(
    "odd",
    [None, 7, "", "nonsense", "[]", "\x00", "[" * 5000, [], {"names": 3, "digests": [], "settings": "x"},
     {"names": {"\x1b[31m": {}, "<{%": {}}, "digests": {"cloudInit": 1, "\x07": "a$b"}, "settings": {"a": [1]}},
     {"settings": {"shutdownTimeout": "for ever", "powerState": "running", "waitFor": "rain", "updatePolicy": True,
                   "rootDisk": {"deleteWithInstance": "yes"}, "cloudInit": 5, "memory": "1GiB"}},
     {"names": {"nosuch": {}, "memory": {"inside": {}}, "nics": {"eth0": {"nosuch": {}}}, "cloudInit": {"x": {}}},
      "digests": {"nosuch": "a$b", "memory": "a$b", "cloudInit.x": "a$b"}}],
)  # fmt: skip
def test_what_is_odd_in_a_note_is_dropped(odd: Any) -> None:
    found = Declaration.read(odd)
    if found is None:
        assert not isinstance(odd, dict)
    else:
        assert found.known_to(Instance) == Declaration()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["names", "digests", "settings"]), _JSON))
def test_any_note_reads(found: dict[str, Any]) -> None:
    declaration = Declaration.read(found)
    assert declaration is not None
    assert Declaration.read(declaration.text) == declaration
    assert declaration.known_to(Kettle).known_to(Kettle) == declaration.known_to(Kettle)
    declaration.matches(Kettle, ("spout",), {})


def test_a_setting_with_words_is_kept_for_these_alone() -> None:
    assert declared(Kettle, {"mode": "quick", "patience": "1m"}).settings == {"mode": "quick"}
    assert declared(Kettle, {"mode": "slow", "patience": "61s"}).settings == {"patience": "61s"}
    assert declared(Kettle, {"spout": {"patience": "9s"}}).settings == {"spout": {"patience": "9s"}}


def test_a_mark_notes_it_and_a_change_by_another_door_leaves_the_names() -> None:
    first = declared(Car, {"name": "a", "colour": "red", "note": "n"})
    mark = Mark.new(KEY, 0, first)
    noted = Noted.of(mark, Car)
    assert noted == Noted(mark, first)
    assert noted.declaration is not None
    assert noted.declaration.matches(Car, ("note",), "n")
    other = replace(KEY, declared_by=DeclaredBy("terraform", "default"))
    second = declared(Car, {"name": "a", "doors": 5, "note": "m"})
    assert mark.updated(other, second) == replace(
        mark, acknowledged=True, declared_by=other.declared_by, declared=second.text
    )
    assert mark.updated(other) == replace(mark, acknowledged=True, declared_by=other.declared_by)
    forced = Noted.of(mark.updated(None, second), Car)
    assert forced.mark is not None
    assert forced.mark.declared_by == HERE
    assert forced.declaration == replace(second, names=first.names)
    assert Noted.of(Mark("k", 0).updated(None, second), Car).declaration == second.nameless()
    assert Noted.of(Mark("k", 0), Car) == Noted(Mark("k", 0))
    assert Noted.of(None, Car) == Noted()


class Kitchen(Spec):
    """A toy with a map of objects."""

    kettles: Annotated[dict[str, Kettle], Field(description="By their colour.")] = {}


class Cupboard(Kitchen):
    """A toy whose map cannot be read back."""

    kettles: Annotated[dict[str, Kettle], WriteOnly(), Field(description="By their colour.")] = {}


def test_items_of_a_map_are_named_by_its_keys() -> None:
    raw = {"kettles": {"red": {"mode": "quick"}, "blue": {}}}
    found = declared(Kitchen, raw)
    assert found.names == (("kettles", "blue"), ("kettles", "red", "mode"))
    assert Declaration.read(found.text) == found.known_to(Kitchen) == found
    assert found.settings == {}
    odd = Declaration.read({"settings": {"kettles": {"mode": "quick"}}})
    assert odd is not None
    assert odd.known_to(Kitchen).settings == {}
    hidden = declared(Cupboard, raw)
    assert hidden.names == (("kettles",),)
    whole = check(Cupboard, raw).sound().whole["kettles"]
    assert hidden.matches(Cupboard, ("kettles",), whole)
    assert not hidden.matches(Cupboard, ("kettles",), {"red": whole["red"]})


def test_a_recalled_map_has_what_was_named_and_no_settings_of_its_items() -> None:
    names = declared(Kitchen, {"kettles": {"red": {"mode": "quick"}, "blue": {}}}).names
    bag = {"kettles": {"red": {"mode": "quick"}, "blue": {"mode": "slow"}, "new": {"mode": "slow"}}}
    assert recall._named(Kitchen, bag, names) == {"kettles": {"red": {"mode": "quick"}, "blue": {}}}
    assert recall._filled(Kitchen, Kitchen, bag, Declaration(), {}, None, ()) == bag
    noted = Declaration(digests={"kettles": "a$b"})
    assert recall._filled(Cupboard, Cupboard, bag, noted, {}, bag, ()) == {"kettles": {}}
