"""Check: every failure with its path and sentence; unknown values, secrets and defaults."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.toys import Car

from jvp.core.check import check, hide, unknown_property
from jvp.core.errors import dotted
from jvp.core.values import UNKNOWN, Secret, secret_paths


def failures(raw: dict[str, Any]) -> dict[str, str]:
    checked = check(Car, raw)
    assert checked.spec is None
    return {dotted(failure.path): failure.message for failure in checked.failures}


def test_defaults_and_derived_are_filled_in() -> None:
    checked = check(Car, {"name": "a"})
    assert checked.failures == ()
    assert checked.inputs == {"name": "a"}
    assert checked.whole == {
        "name": "a", "size": "1GiB", "doors": 4, "open": False, "rearDoors": 2, "wheels": [], "tags": [], "labels": {},
    }  # fmt: skip
    assert check(Car, checked.whole).whole == checked.whole


def test_derived_does_not_overwrite() -> None:
    assert check(Car, {"rearDoors": 0}).inputs["rearDoors"] == 0


def test_engines_send_whole_numbers_as_floats() -> None:
    assert check(Car, {"doors": 2.0}).inputs["doors"] == 2


def test_the_users_spelling_stays() -> None:
    assert check(Car, {"size": "2048MiB"}).inputs["size"] == "2048MiB"


def test_an_explicit_null_means_not_set() -> None:
    checked = check(
        Car, {"size": None, "colour": None, "engine": {"power": None}, "wheels": [{"name": "a", "size": None}]}
    )
    assert checked.failures == ()
    assert checked.inputs == {"engine": {}, "wheels": [{"name": "a"}]}
    assert checked.whole["size"] == "1GiB"
    assert checked.whole["engine"] == {"power": 90, "fuel": "petrol"}
    assert checked.whole["wheels"] == [{"name": "a"}]
    assert "colour" not in checked.whole


def test_what_is_set_to_the_default_is_set() -> None:
    raw = {"size": "1GiB", "doors": 4, "open": False, "wheels": [], "engine": {"power": 90}, "labels": {}}
    assert check(Car, raw).inputs == raw


@pytest.mark.parametrize(
    ("raw", "path", "sentence"),
    [
        ({"colur": "red"}, "colur", 'there is no property "colur"; did you mean "colour"?'),
        ({"rear_doors": 2, "reardoors": 2}, "reardoors", 'there is no property "reardoors"; did you mean "rearDoors"?'),
        ({"rear_doors": 2}, "rear_doors", 'there is no property "rear_doors"; did you mean "rearDoors"?'),
        ({"engine": {"pwer": 1}}, "engine.pwer", 'there is no property "pwer"; did you mean "power"?'),
        ({"wheels": [{"name": "a"}, {"name": "b", "siez": "1GiB"}]}, "wheels[1].siez", 'did you mean "size"?'),
        ({"engine": {"zzz": 1}}, "engine.zzz", 'there is no property "zzz"; there are: code, fuel, power'),
        ({"wheels": [{}]}, "wheels[0].name", "is required"),
        ({"doors": "four"}, "doors", 'must be a whole number, not "four"'),
        ({"doors": 1.5}, "doors", "must be a whole number, not 1.5"),
        ({"open": "perhaps"}, "open", 'must be true or false, not "perhaps"'),
        ({"colour": 7}, "colour", "must be a string, not 7"),
        ({"colour": True}, "colour", "must be a string, not true"),
        ({"doors": True}, "doors", "must be a whole number, not true"),
        ({"doors": float("nan")}, "doors", "must be a number that can be counted to, not nan"),
        ({"doors": 1e30}, "doors", "must be a number that can be counted to, not 1e+30"),
        ({"doors": "4\n\x1b[31m\u202e"}, "doors", r'must be a whole number, not "4\n\x1b[31m\u202e"'),
        ({"open": "a\ud800"}, "open", "half of a surrogate pair"),
        ({"engine": {"fuel": "x" * 5000}}, "engine.fuel", f"not \"{'x' * 59}…\""),
        ({"wheels": [None]}, "wheels[0]", "must be an object, not null"),
        ({"wheels": "four"}, "wheels", 'must be a list, not "four"'),
        ({"wheels": ["a"]}, "wheels[0]", 'must be an object, not "a"'),
        ({"engine": []}, "engine", "must be an object, not a list"),
        ({"engine": {"power": 0}}, "engine.power", "must be at least 1, not 0"),
        ({"engine": {"power": 901}}, "engine.power", "must be at most 900, not 901"),
        ({"engine": {"fuel": "coal"}}, "engine.fuel", "must be one of 'diesel' or 'petrol', not \"coal\""),
        ({"size": "1G"}, "size", '"G" is not a unit of size'),
        ({"size": 20}, "size", '"20" is not a size; write it with a unit'),
        ({"name": "../x"}, "name", '"../x" is not a name'),
        ({"labels": {"a": 1}}, "labels.a", "must be a string, not 1"),
        ({"doors": 10}, "doors", "has 10, more than any car"),
    ],
)  # fmt: skip
def test_one_wrong_thing_is_one_sentence_at_its_path(raw: dict[str, Any], path: str, sentence: str) -> None:
    found = failures(raw)
    assert path in found
    assert sentence in found[path]
    assert "pydantic" not in found[path].lower()
    assert "Value error" not in found[path]
    assert found[path].isprintable()


def test_all_failures_are_told_at_once() -> None:
    assert set(failures({"size": "1G", "doors": "x", "wheels": [{"name": "/"}]})) == {"size", "doors", "wheels[0].name"}


@given(st.text(min_size=1, max_size=40).filter(lambda name: name not in {*Car.model_fields, "rearDoors"}))
def test_any_unknown_property_gets_a_sentence(name: str) -> None:
    (sentence,) = failures({name: 1}).values()
    assert sentence.startswith("there is no property")


def test_nearest_name_minds_neither_case_nor_underscores() -> None:
    assert unknown_property("max_cpus", ["maxCpus", "memory"]).endswith('did you mean "maxCpus"?')
    assert unknown_property("MAXCPUS", ["maxCpus", "memory"]).endswith('did you mean "maxCpus"?')


@pytest.mark.parametrize(
    "raw",
    [
        dict.fromkeys(
            ("name", "size", "colour", "doors", "open", "wheels", "engine", "tags", "labels", "pin"), UNKNOWN
        ),
        {"wheels": [UNKNOWN]},
        {"wheels": [{"name": "a"}, UNKNOWN, {"name": UNKNOWN, "size": UNKNOWN}]},
        {"engine": {"power": UNKNOWN, "fuel": UNKNOWN, "code": UNKNOWN}},
        {"tags": ["a", UNKNOWN]},
        {"labels": {"a": UNKNOWN}},
        {"pin": Secret(UNKNOWN)},
        {"engine": Secret({"power": UNKNOWN})},
    ],
)
def test_unknown_passes_anywhere_and_stays_where_it_is(raw: dict[str, Any]) -> None:
    checked = check(Car, raw)
    assert checked.failures == ()
    for name, value in raw.items():
        if name == "engine" and isinstance(value, Secret):
            assert checked.inputs[name].reveal()["power"] is UNKNOWN
        elif name == "engine" and value is not UNKNOWN:
            assert all(
                checked.inputs[name][key] is UNKNOWN or checked.inputs[name][key] == Secret(UNKNOWN) for key in value
            )
        elif name == "pin":
            assert checked.inputs[name] in (UNKNOWN, Secret(UNKNOWN))
        else:
            assert checked.inputs[name] == value


def test_what_stands_beside_an_unknown_is_still_checked() -> None:
    assert set(failures({"name": UNKNOWN, "size": "1G", "wheels": [UNKNOWN, {"name": "/"}]})) >= {"size"}


def test_secrets_keep_their_place() -> None:
    raw = {
        "colour": Secret("red"), "tags": ["a", Secret("b")], "wheels": [{"name": "x", "size": Secret("1GiB")}],
        "labels": {"a": Secret("b"), "c": "d"},
    }  # fmt: skip
    checked = check(Car, raw)
    assert checked.failures == ()
    assert secret_paths(checked.inputs) == {("colour",), ("tags", 1), ("wheels", 0, "size"), ("labels", "a")}


def test_a_secret_around_a_whole_object_stays_around_it() -> None:
    checked = check(Car, {"engine": Secret({"power": 5})})
    assert checked.failures == ()
    assert checked.inputs["engine"] == Secret({"power": 5})
    assert checked.whole["engine"] == Secret({"power": 5, "fuel": "petrol"})


def test_what_is_always_secret_becomes_one() -> None:
    checked = check(Car, {"pin": "1234", "engine": {"code": "abcd"}})
    assert checked.inputs["pin"] == Secret("1234")
    assert checked.inputs["engine"]["code"] == Secret("abcd")
    assert "1234" not in repr(checked.inputs)
    assert "abcd" not in repr(checked.inputs)


@pytest.mark.parametrize(
    "raw", [{"doors": Secret("hunter2")}, {"size": Secret("hunter2")}, {"colour": Secret(["hunter2"])}]
)
def test_a_wrong_secret_is_not_shown(raw: dict[str, Any]) -> None:
    assert "hunter2" not in str(failures(raw))


def test_hide_goes_into_lists_and_maps() -> None:
    hidden = hide({"labels": {"a": "b"}, "tags": ["x"]}, {("labels", "a"), ("tags", 0)}, Car)
    assert hidden == {"labels": {"a": Secret("b")}, "tags": [Secret("x")]}
