"""UNKNOWN and Secret; errors and their paths."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jvp.core.errors import Invalid, dotted
from jvp.core.values import UNKNOWN, Secret, has_unknown, known, masked, reveal, secret_paths, secret_texts, walk


def test_there_is_one_unknown() -> None:
    assert copy.deepcopy({"a": [UNKNOWN]})["a"][0] is UNKNOWN
    assert copy.copy(UNKNOWN) is UNKNOWN
    assert repr(UNKNOWN) == "UNKNOWN"
    with pytest.raises(TypeError, match="is UNKNOWN"):
        bool(UNKNOWN)


def test_known_and_has_unknown() -> None:
    assert known(1, None, [UNKNOWN])
    assert not known(1, UNKNOWN)
    assert has_unknown({"a": [{"b": UNKNOWN}]})
    assert not has_unknown({"a": [{"b": None}], "c": [], "d": {}})


@pytest.mark.parametrize(
    "show", [str, repr, "{}".format, "%s".__mod__, lambda secret: f"{secret!r:>4}", lambda s: str([s])]
)
def test_a_secret_is_never_shown(show: object) -> None:
    assert callable(show)
    assert "hunter2" not in show(Secret("hunter2"))


def test_secrets_compare_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret([1])) == hash(Secret([1]))


def test_a_secret_survives_copying() -> None:
    assert copy.deepcopy(Secret({"a": 1})) == Secret({"a": 1})
    assert pickle.loads(pickle.dumps(Secret("a"))) == Secret("a")


def test_reveal_opens_all_of_them() -> None:
    assert reveal({"a": Secret([Secret("x"), 1]), "b": [Secret({"c": Secret(2)})]}) == {"a": ["x", 1], "b": [{"c": 2}]}
    assert secret_paths({"a": Secret([1]), "b": [0, Secret(1)]}) == {("a",), ("b", 1)}


def test_masking_takes_the_longest_first_and_spares_short_ones() -> None:
    texts = secret_texts({"a": Secret(["hunter2", "hunter2-and-more"]), "b": Secret("abc"), "c": "plain"})
    assert texts == {"hunter2", "hunter2-and-more"}
    assert masked("x hunter2-and-more hunter2", texts) == "x [secret] [secret]"


@given(st.recursive(st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_walk_finds_every_leaf_where_its_path_says(value: object) -> None:
    for path, leaf in walk(value):
        found = value
        for part in path:
            found = found[part]  # type: ignore[index]
        assert found is leaf


def test_paths_read_as_users_write_them() -> None:
    assert dotted(("nics", 0, "mac")) == "nics[0].mac"
    assert dotted(()) == ""
    assert str(Invalid("is wrong", path=("mac",)).at("nics", 0)) == "nics[0].mac: is wrong"
    assert str(Invalid("is wrong")) == "is wrong"
