"""URNs, tokens and property paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jvp.doors.pulumi.detail import spelled
from jvp.doors.pulumi.urns import Urn, covers, name_of, property_path, token

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "kind", "address", "name"),
    [
        ("urn:pulumi:dev::shop::jvp:index:Network::lan", "jvp:index:Network", "urn:pulumi:dev::shop::::lan", "lan"),
        ("urn:pulumi:d::p::a:b:C$d:e:F$jvp:index:Volume::x::y", "jvp:index:Volume",
         "urn:pulumi:d::p::a:b:C$d:e:F::x::y", "x::y"),
    ],
)  # fmt: skip
def test_a_urn_without_the_own_type_is_the_address(text: str, kind: str, address: str, name: str) -> None:
    urn = Urn.parse(text)
    assert (urn.type, urn.address, urn.name) == (kind, address, name)


def test_tokens() -> None:
    assert token("getInstance") == "jvp:index:getInstance"
    assert name_of("jvp:index:Network") == "Network"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("size", ("size",)),
        ("nics[0].mac", ("nics", 0, "mac")),
        ('tags["a.b"]', ("tags", "a.b")),
        ('tags["say \\"x\\""]', ("tags", 'say "x"')),
        ("nics[*].mac", ("nics", "*", "mac")),
        ("nics.*", ("nics", "*")),
        ("*", ("*",)),
    ],
)
def test_paths_as_ignore_changes_spells_them(text: str, path: tuple[str | int, ...]) -> None:
    assert property_path(text) == path


steps = st.one_of(
    st.integers(0, 99), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\"), min_size=1)
)


@given(st.text("abc", min_size=1), st.lists(steps, max_size=4))
def test_what_we_spell_is_read_back(first: str, rest: list[str | int]) -> None:
    path = (first, *rest)
    assert property_path(spelled(path)) == path


def test_a_path_covers_what_lies_inside() -> None:
    assert covers(("nics", "*", "mac"), ("nics", 3, "mac"))
    assert covers(("nics",), ("nics", 3, "mac"))
    assert not covers(("nics", 3, "mac"), ("nics",))
    assert not covers(("nics", 3), ("nics", 4))
