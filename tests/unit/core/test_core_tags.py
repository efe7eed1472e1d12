"""Tags: as an object keeps them, and which objects a word takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jvp.core import tags
from jvp.core.check import check
from jvp.core.values import UNKNOWN
from jvp.resources.instance.model import Instance

pytestmark = pytest.mark.unit
KEPT = {"a/b.c": "", "team": "the shop & more, 店", "über": "x=y+z;"}


def test_they_are_kept_as_one_line_of_ascii_that_never_changes_between_releases() -> None:
    text = "a/b.c=&team=the%20shop%20%26%20more%2C%20%E5%BA%97&%C3%BCber=x%3Dy%2Bz%3B"
    assert tags.text_of(KEPT) == tags.text_of(dict(reversed(KEPT.items()))) == text
    assert tags.read(text) == KEPT


PRINTABLE = st.text(max_size=20).filter(str.isprintable)


@given(st.dictionaries(st.from_regex(r"[a-zé店0-9][\w.:/@+-]{0,9}", fullmatch=True), PRINTABLE, max_size=9))
def test_what_is_kept_is_read_back(given_: dict[str, str]) -> None:
    assert tags.read(tags.text_of(given_)) == given_


@pytest.mark.parametrize(
    "text", ["", "&&", "team", "=", "%ff=%zz", "a=1&a=2", "%00=%0A&a=%0A", "a=" + "%22" * 999, "a%3Db=1"]
)
def test_what_strangers_wrote_is_read_without_a_word(text: str) -> None:
    assert list(tags.rules(tags.read(text))) == []


def test_which_objects_a_word_takes() -> None:
    for word, is_taken in (
        ("team", True), ("team=web", True), ("team=", False), ("team=we", False), ("tea", False), ("backup", True),
        ("backup=", True), ("backup=yes", False), ("", False),
    ):  # fmt: skip
        assert tags.takes(word, {"team": "web", "backup": ""}) is is_taken, word


def test_what_is_not_known_yet_is_no_fault() -> None:
    for given_ in (UNKNOWN, {"team": UNKNOWN, "backup": ""}):
        assert check(Instance, {"directKernel": {"kernel": "/k"}, "tags": given_}).failures == ()
