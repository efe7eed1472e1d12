"""Objects in lists and maps are walked in one way: by check, diff, defaults, secrets, schemas and both wires."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from tests.unit.core.toys import Wheel
from tools import gen_docs

from jvp.core import recall, tree
from jvp.core.check import check, hide, veiled
from jvp.core.declaration import Declaration
from jvp.core.diff import Kind, completed, declared, diff, respelled
from jvp.core.errors import dotted
from jvp.core.facts import Changes, Computed, Effect, Output
from jvp.core.handler import ResourceType
from jvp.core.model import Spec, fields, load
from jvp.core.tree import MISSING, NOTHING
from jvp.core.types import Name, Size, size_bytes
from jvp.core.values import UNKNOWN, Bag, Secret, reveal, secret_paths
from jvp.core.wanted import filled, set_alone, unmanaged, unset
from jvp.doors.pulumi import schema as pulumi
from jvp.doors.pulumi import wire
from jvp.doors.terraform import schema as terraform
from jvp.doors.terraform import values, writeonly
from jvp.doors.terraform.plan import kept
from jvp.doors.terraform.protocol import MAP
from jvp.doors.terraform.spelling import spoken
from jvp.doors.terraform.upgrade import refuse_broken
from jvp.resources import registry


class Seat(Spec):
    """A seat of a bus."""

    colour: Annotated[str | None, Field(description="Its colour.")] = None
    width: Annotated[Size, Field(description="Its width.")] = "1GiB"
    serial_number: Annotated[str | None, Computed(), Field(description="Chosen when left out.")] = None
    frame: Annotated[str | None, Changes(Effect.REPLACE), Field(description="What it is made of.")] = None
    code: Annotated[Secret[str] | None, Field(description="Hush.")] = None
    straps: Annotated[list[Wheel], Field(description="What holds who sits on it.")] = []


class Bus(Spec):
    """A toy with a map of objects."""

    name: Annotated[Name, Changes(Effect.REPLACE), Field(description="Its name.")]
    seats: Annotated[dict[str, Seat], Changes(Effect.NEXT_BOOT), Field(description="Its seats by who sits there.")] = {}
    notes: Annotated[dict[str, str], Field(description="A map of plain values.")] = {}


class BusState(Bus):
    """A bus as it is."""

    plate: Annotated[str, Output(), Field(description="Its plate.")]


class BusType(ResourceType[Bus, BusState]):
    """Buses."""

    kind, token, spec, state = "bus", "Bus", Bus, BusState


STATE: Bag = {
    "name": "b",
    "seats": {
        "ann": {"width": "1048576KiB", "serialNumber": "s1", "code": Secret("hunter22"), "straps": []},
        "bo": {"colour": "red", "width": "2GiB", "serialNumber": "s2", "frame": "steel",
               "straps": [{"name": "x", "size": "1MiB", "mac": "52:54:00:00:00:01"}]},
    },
    "notes": {}, "plate": "p",
}  # fmt: skip
INPUTS: Bag = {
    "name": "b",
    "seats": {"bo": {"colour": "red", "width": "2048MiB", "frame": "steel", "straps": [{"name": "x", "size": "1MiB"}]},
              "ann": {"code": Secret("hunter22")}},
}  # fmt: skip
WHOLE = check(Bus, INPUTS).whole


def having(key: str, **values: Any) -> Bag:
    """The inputs with an item that is other; one without values is taken out."""
    seats = {**INPUTS["seats"], key: {**INPUTS["seats"].get(key, {}), **values}}
    return {**INPUTS, "seats": seats if values else {one: seats[one] for one in seats if one != key}}


def plan(inputs: Bag, *, imported: bool = False) -> list[tuple[str, Kind, Effect]]:
    changes = diff(Bus, STATE, INPUTS, check(Bus, inputs).whole, imported=imported)
    return [(dotted(one.path), one.kind, one.effect) for one in changes]


def test_a_map_of_objects_is_known_as_one() -> None:
    seats = fields(Bus)["seats"]
    assert (seats.item, seats.is_map, seats.is_list, seats.holds_many, seats.hides) == (Seat, True, False, True, True)
    assert (fields(Bus)["notes"].item, fields(Bus)["notes"].holds_many) == (None, False)
    assert {one.name for one in tree.every(Bus)} == {*Bus.model_fields, *fields(Seat), *fields(Wheel)}


@pytest.mark.parametrize(
    ("seats", "path", "sentence"),
    [
        ({"ann": {"width": "big"}}, "seats.ann.width", '"big" is not a size'),
        ({"a[0]": {"width": "big"}}, "seats.a[0].width", '"big" is not a size'),
        ({"ann": {"colr": "x"}}, "seats.ann.colr", 'did you mean "colour"?'),
        ({"ann": {"straps": [{"name": "x", "rimm": "y"}]}}, "seats.ann.straps[0].rimm", 'did you mean "rim"?'),
        ({"ann": 1}, "seats.ann", "must be an object, not 1"),
        ([], "seats", "must be an object, not a list"),
    ],
)
def test_what_is_wrong_inside_is_told_with_its_path(seats: Any, path: str, sentence: str) -> None:
    (wrong,) = check(Bus, {"name": "b", "seats": seats}).failures
    assert dotted(wrong.path) == path
    assert sentence in wrong.message


def test_what_is_not_set_has_its_default_and_secrets_stay_secret() -> None:
    assert WHOLE["seats"]["ann"] == {"width": "1GiB", "code": Secret("hunter22"), "straps": []}
    assert check(Bus, INPUTS).inputs == INPUTS
    raw = {"name": "b", "seats": {"ann": Secret({"colour": None}), "bo": {"colour": Secret("red")}, "cy": UNKNOWN}}
    assert secret_paths(check(Bus, raw).inputs) == {("seats", "ann"), ("seats", "bo", "colour")}
    assert check(Bus, raw).whole["seats"]["cy"] is UNKNOWN
    (wrong,) = check(Bus, {"name": "b", "seats": {"ann": {"code": Secret("hunter22"), "width": Secret("enormous")}}}
                     ).failures  # fmt: skip
    assert "enormous" not in wrong.message


def test_nothing_differs() -> None:
    assert plan(INPUTS) == []


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (having("bo", colour="blue"), ("seats.bo.colour", Kind.UPDATE, Effect.NEXT_BOOT)),
        (having("bo", frame="wood"), ("seats.bo.frame", Kind.UPDATE, Effect.REPLACE)),
        (having("bo", colour=None), ("seats.bo.colour", Kind.DELETE, Effect.NEXT_BOOT)),
        (having("bo", straps=[]), ("seats.bo.straps[0]", Kind.DELETE, Effect.NEXT_BOOT)),
        (having("bo"), ("seats.bo", Kind.DELETE, Effect.NEXT_BOOT)),
        (having("cy", colour="red"), ("seats.cy", Kind.ADD, Effect.NEXT_BOOT)),
        (having("ann", code=Secret("other")), ("seats.ann.code", Kind.UPDATE, Effect.NEXT_BOOT)),
        ({"name": "b"}, ("seats.ann", Kind.DELETE, Effect.NEXT_BOOT)),
        ({**INPUTS, "seats": UNKNOWN}, ("seats", Kind.UPDATE, Effect.NEXT_BOOT)),
        ({**INPUTS, "seats": {**INPUTS["seats"], "bo": UNKNOWN}}, ("seats.bo", Kind.UPDATE, Effect.REPLACE)),
    ],
)  # fmt: skip
def test_a_change_of_an_item_is_told_by_its_key(inputs: Bag, expected: tuple[str, Kind, Effect]) -> None:
    assert plan(inputs)[:1] == [expected]


def test_of_an_import_what_nobody_declared_is_left() -> None:
    assert diff(Bus, STATE, {}, check(Bus, having("bo")).whole, imported=True) == []


def test_a_state_is_spelled_as_the_program_does() -> None:
    found = respelled(BusState, reveal(STATE), reveal(INPUTS))
    assert [*found["seats"]] == ["ann", "bo"]
    assert found["seats"]["bo"]["width"] == "2048MiB"
    program = declared(Bus, STATE, INPUTS, WHOLE)
    assert program == {**INPUTS, "seats": {**INPUTS["seats"], "bo": {**INPUTS["seats"]["bo"], "width": "2GiB"}}}


def test_what_is_chosen_inside_is_as_it_was_or_not_known_yet() -> None:
    found = completed(Bus, check(Bus, having("cy", colour="red")).whole, STATE)["seats"]
    assert (found["bo"]["serialNumber"], found["bo"]["straps"][0]["mac"]) == ("s2", "52:54:00:00:00:01")
    assert found["cy"]["serialNumber"] is UNKNOWN


def test_what_an_import_found_stays_until_it_is_set() -> None:
    places = unmanaged(Bus, reveal(STATE))
    assert ["seats", "bo", "colour"] in places
    assert ["seats", "bo", "straps", "x", "size"] in places
    bare = {"name": "b", "seats": {"ann": {}, "bo": {"straps": [{"name": "x"}], "frame": "wood"}}}
    left = unset(Bus, places, bare)
    assert (["seats", "bo", "frame"] in left, ["seats", "bo", "colour"] in left) == (False, True)
    assert unset(Bus, [["seats", "bo", "colour"]], {"name": "b", "seats": {"ann": {}}}) == []
    whole = filled(Bus, bare, places, STATE).whole
    assert (whole["seats"]["bo"]["colour"], whole["seats"]["bo"]["frame"]) == ("red", "wood")
    assert whole["seats"]["bo"]["straps"] == [{"name": "x", "size": "1MiB"}]
    assert set_alone(Bus, {"name": "b", "seats": {"ann": {"width": "1GiB", "colour": "x"}}}) == {
        "name": "b", "seats": {"ann": {"colour": "x"}},
    }  # fmt: skip


def test_a_mark_names_what_was_set_of_each_item() -> None:
    inputs = check(Bus, {**INPUTS, "seats": {**INPUTS["seats"], "cy": {}}}).inputs
    declaration = Declaration.of(Bus, inputs, check(Bus, inputs).whole, "u")
    assert {("seats", "bo", "straps", "x", "size"), ("seats", "ann", "code"), ("seats", "cy")} <= {*declaration.names}
    found = Declaration.read(declaration.note())
    assert found is not None
    assert found.known_to(Bus) == declaration
    assert recall._named(Bus, inputs, declaration.names) == inputs


def test_secrets_follow_their_item() -> None:
    plain = reveal(STATE)
    assert secret_paths(hide(plain, set(), Bus)) == {("seats", "ann", "code")}
    known = {
        "seats": {"bo": {"colour": Secret("red"), "straps": [{"name": "y"}, {"name": "x", "size": Secret("1MiB")}]}}
    }
    assert secret_paths(veiled(Bus, plain, known)) == {
        ("seats", "ann", "code"), ("seats", "bo", "colour"), ("seats", "bo", "straps", 0, "size"),
    }  # fmt: skip
    assert secret_paths(veiled(Bus, plain, {"seats": Secret({})})) == {("seats",)}


def test_a_state_becomes_objects() -> None:
    loaded = load(BusState, STATE)
    assert {key: type(seat) for key, seat in loaded.seats.items()} == {"ann": Seat, "bo": Seat}
    assert loaded.seats["ann"].code == Secret("hunter22")
    assert loaded.seats["bo"].straps[0].name == "x"
    assert loaded.bag() == {**STATE, "seats": loaded.bag()["seats"]}


def test_pulumis_schema_has_a_map_of_the_named_type() -> None:
    found = pulumi.schema([BusType], [])
    for properties in ("inputProperties", "properties"):
        seats = found["resources"]["jvp:index:Bus"][properties]["seats"]
        assert seats["type"] == "object"
        assert seats["additionalProperties"] == {"$ref": "#/types/jvp:index:BusSeat"}
    assert set(found["types"]["jvp:index:BusSeat"]["properties"]) == set(fields(Seat))
    assert found["types"]["jvp:index:BusSeat"]["properties"]["code"]["secret"]


def test_hcls_schema_has_a_nested_map() -> None:
    (seats,) = (one for one in terraform.resource(BusType).block.attributes if one.name == "seats")
    assert seats.nested_type.nesting == MAP
    assert gen_docs._type(seats) == "Map of Object"
    inner = {one.name: one for one in seats.nested_type.attributes}
    assert {"serial_number", "code_wo", "code_wo_version"} <= set(inner)
    assert inner["code"].sensitive
    assert inner["serial_number"].computed


def test_hcls_paths_and_sentences_name_what_is_inside() -> None:
    path = values.attribute_path(Bus, ("seats", "ann", "serialNumber"))
    assert (path, type(path[1])) == (("seats", "ann", "serial_number"), values.Key)
    assert spoken("serialNumber: is wrong", Bus) == "serial_number: is wrong"
    raw = {"name": "b", "seats": {"ann": None, "bo": {"straps": [None]}}, "notes": {"x": None}}
    assert list(values.nulls(Bus, raw)) == [("seats", "ann"), ("seats", "bo", "straps", 0), ("notes", "x")]
    with pytest.raises(Exception, match="seats is no map"):
        refuse_broken(Bus, {"name": "b", "seats": []}, "state")
    with pytest.raises(Exception, match=r"seats\.colour is no string"):
        refuse_broken(Bus, {"name": "b", "seats": {"ann": {"colour": []}}}, "state")


def test_a_write_only_value_in_a_map_is_one_of_its_item() -> None:
    raw = values.to_raw(Bus, INPUTS)
    raw["seats"]["bo"] |= {"code": None, "code_wo": "hunter23", "code_wo_version": 1}
    ((place, one),) = writeonly.written(Bus, raw)
    assert (place, one.value, one.path) == (("seats", "bo", "code"), "hunter23", ("seats", "bo", "code"))
    bag = writeonly.filled(Bus, values.to_bag(Bus, raw), {place: one.value})
    assert bag["seats"]["bo"]["code"] == Secret("hunter23")
    closed = writeonly.closed(Bus, values.to_raw(Bus, bag), raw)["seats"]
    assert (closed["bo"]["code"], closed["bo"]["code_wo"], closed["bo"]["code_wo_version"]) == (None, None, 1)
    assert closed["ann"]["code"] == "hunter22"


# Every bag

keys = st.sampled_from(["ann", "bo", "cy", "a.b", 'x"[0]'])
texts = st.sampled_from(["", "x", "ä"])
seats = st.fixed_dictionaries(
    {},
    optional={
        "colour": texts | st.builds(Secret, texts),
        "width": st.sampled_from(["1GiB", "1024MiB", "2GiB"]),
        "code": st.builds(Secret, texts),
        "straps": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(["x", "y"])}, optional={"size": st.just("1MiB")}),
            unique_by=lambda strap: strap["name"],
        ),
    },
)
buses = st.fixed_dictionaries(
    {"name": st.just("b")},
    optional={"seats": st.dictionaries(keys, seats, max_size=3), "notes": st.dictionaries(keys, texts, max_size=2)},
)


@given(buses, buses)
def test_every_bag_goes_through_both_wires_and_a_plan_that_is_applied_is_empty(one: Bag, other: Bag) -> None:
    assert wire.decode(wire.encode(one)) == one
    for bag in (one, other):
        checked = check(Bus, bag)
        assert checked.inputs == hide(bag, set(), Bus)
        assert diff(Bus, checked.whole, checked.inputs, checked.whole) == []
        plain = hide(reveal(bag), set(), Bus)
        raw = values.decode(values.encode(values.to_raw(Bus, plain)))
        assert values.to_bag(Bus, raw) == plain
        assert kept(Bus, plain, raw) == raw
        assert load(Bus, checked.whole).bag().keys() == checked.whole.keys()
    was, now = check(Bus, one).whole, check(Bus, other).whole
    changes = diff(Bus, was, was, now)
    assert bool(changes) == (size_alike(was) != size_alike(now))
    assert respelled(Bus, reveal(now), reveal(was)).keys() == now.keys()


def size_alike(bag: Bag) -> Any:
    """What a bag means: sizes as numbers, the items of a list by their names, and no empty lists."""
    found = reveal(bag)
    return found["notes"], {
        key: {**seat, "width": size_bytes(seat["width"]), "straps": {one["name"]: one for one in seat["straps"]}}
        for key, seat in found["seats"].items()
    }


@given(buses, texts)
def test_what_is_put_at_a_place_stands_there_and_nothing_else_moves(bag: Bag, text: str) -> None:
    for place in unmanaged(Bus, check(Bus, bag).whole):
        made = tree.put(Bus, bag, place, text)
        there = tree.at(Bus, made, place)
        assert made == bag if tree.at(Bus, bag, place[:-1] or place) is MISSING else reveal(there) == text
        assert tree.at(Bus, tree.put(Bus, made, place, None), place) is MISSING
    for place in (["nothing"], ["seats", "nobody", "colour"], ["notes", "ann", "x"], ["seats", "nobody"]):
        assert tree.put(Bus, bag, place, text) == bag
        assert tree.at(Bus, bag, place) is MISSING


# Items of lists


def test_items_are_the_same_by_their_key_or_where_that_is_not_known_by_their_index() -> None:
    straps = fields(Seat)["straps"]
    items = [{"name": "x"}, {"name": UNKNOWN}, UNKNOWN, Secret({"name": Secret("y")})]
    other = [{"name": "y", "n": 0}, {"name": "z", "n": 1}, {"name": "x", "n": 2}]

    def pair(model: Any, item: Bag, was: Bag) -> Any:
        return "new" if was is NOTHING else was["n"]

    assert tree.mapped(straps, items, pair, other) == [2, "new", UNKNOWN, Secret(0)]
    assert tree.mapped(straps, items, pair, other, aligned=True) == [2, 1, UNKNOWN, Secret(0)]
    assert tree.mapped(straps, items, pair, other, in_order=True) == [Secret(0), 2, "new", UNKNOWN]
    assert tree.mapped(straps, items, pair, Secret(other)) == Secret([2, "new", UNKNOWN, Secret(0)])
    assert tree.mapped(straps, UNKNOWN, pair, other) is UNKNOWN


def test_the_key_of_every_model_is_spelled_alike_by_all_doors() -> None:
    for one in registry.TYPES.values():
        for field in tree.every(one.state):
            if field.is_list and field.item is not None and field.output is None:
                assert fields(field.item)[field.item.key].attribute == field.item.key
