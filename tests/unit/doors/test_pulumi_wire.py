"""Pulumi's values <-> bags: round trips, and every kind of signature."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jvp.core.errors import Invalid
from jvp.core.values import UNKNOWN, Secret
from jvp.doors.pulumi import wire
from jvp.doors.pulumi.protocol import Struct

pytestmark = pytest.mark.unit

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda key: key != wire.SIGNATURE)
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-wire.EXACT, wire.EXACT),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.just(UNKNOWN),
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4),
        inner.filter(lambda value: not isinstance(value, Secret)).map(Secret),
    ),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 1 is not True."""
    if isinstance(one, Secret) and isinstance(other, Secret):
        return same(one.reveal(), other.reveal())
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one is other or (type(one) is type(other) and one == other)


@given(st.dictionaries(keys, values, max_size=5))
def test_a_bag_survives_the_wire(bag: dict[str, Any]) -> None:
    sent = wire.encode(bag).SerializeToString()
    assert same(wire.decode(Struct.FromString(sent)), bag)


@given(st.dictionaries(keys, values, max_size=5))
def test_what_was_decoded_encodes_to_the_same(bag: dict[str, Any]) -> None:
    struct = wire.encode(bag)
    assert wire.encode(wire.decode(struct)) == struct


@pytest.mark.parametrize("sentinel", sorted(wire.UNKNOWNS))
def test_every_kind_of_unknown_is_unknown(sentinel: str) -> None:
    assert len(wire.UNKNOWNS) == 7
    assert wire.decode(wire.encode({"a": [sentinel]})) == {"a": [UNKNOWN]}


def signed(signature: str, **rest: Any) -> dict[str, Any]:
    return {wire.SIGNATURE: signature, **rest}


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (signed(wire.OUTPUT), UNKNOWN),
        (signed(wire.OUTPUT, value=1, dependencies=["urn:x"]), 1),
        (signed(wire.OUTPUT, value=None), None),
        (signed(wire.OUTPUT, value="x", secret=True), Secret("x")),
        (signed(wire.OUTPUT, secret=True), Secret(UNKNOWN)),
        (signed(wire.SECRET, value=signed(wire.SECRET, value="x")), Secret("x")),
        (signed(wire.SECRET, value=wire.UNKNOWN_STRING), Secret(UNKNOWN)),
        (signed(wire.RESOURCE, urn="urn:x", id="i"), "i"),
        (signed(wire.RESOURCE, urn="urn:x", id=wire.UNKNOWN_STRING), UNKNOWN),
        (signed(wire.RESOURCE, urn="urn:x", id=""), UNKNOWN),
        (signed(wire.RESOURCE, urn="urn:x"), "urn:x"),
    ],
)
def test_signatures(sent: Any, meant: Any) -> None:
    assert same(wire.decode(wire.encode({"a": sent}))["a"], meant)


@pytest.mark.parametrize("signature", [wire.ASSET, wire.ARCHIVE, "something new"])
def test_what_no_property_takes_is_refused_with_its_path(signature: str) -> None:
    with pytest.raises(Invalid) as error:
        wire.decode(wire.encode({"a": [1, {"b": signed(signature)}]}))
    assert error.value.path == ("a", 1, "b")


def test_whole_numbers_are_whole_and_large_ones_stay_what_they_are() -> None:
    bag = wire.decode(wire.encode({"a": 3.0, "b": 2.5, "c": 1e300}))
    assert [type(value) for value in bag.values()] == [int, float, float] or same(bag, {"a": 3, "b": 2.5, "c": 1e300})


def test_no_struct_is_an_empty_bag() -> None:
    assert wire.decode(None) == {}


def test_internal_properties_are_not_public() -> None:
    assert wire.public({"__jvp": 1, "__internal": 2, "_x": 3, "name": 4}) == {"_x": 3, "name": 4}


def test_what_is_no_value_is_not_sent() -> None:
    with pytest.raises(TypeError, match="no property can hold a set"):
        wire.encode({"a": {1}})
