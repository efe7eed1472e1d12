"""Identity: golden values. A uuid that changes between releases orphans what users have."""

from __future__ import annotations

import pytest

from jvp.core.errors import NotFound
from jvp.core.identity import Key, Mark, generation
from jvp.core.types import MAX_NAME

GOLDEN = [
    (
        Key("", "network", "urn:pulumi:dev::shop::jvp:index:Network::web", "web"),
        "4d488f29-e136-575a-9a72-0ca126808235",
        "7d354ac4-525f-54c7-88cf-2b7514e334a2",
        "44556f20-48d7-5129-86d3-f99b79d1f718",
        "web-7d354ac",
    ),
    (
        Key("alice", "network", "urn:pulumi:dev::shop::jvp:index:Network::web", "web"),
        "9d9abfd5-6e6f-565a-9442-7411df38b9b4",
        "395f5018-feb3-5b6f-b4ee-d7e2bd81b532",
        "c61aa4b8-c009-572c-94eb-49444cdce041",
        "web-395f501",
    ),
    (
        Key("", "storage pool", "n1/images"),
        "3ecb92b6-0055-5a11-91b4-f851a06fc721",
        "800b8e9a-c388-517c-8dc5-2940b9f6848d",
        "2b5a2e69-b5ea-5d6d-9f15-73cbecb8ecb7",
        "storage pool-800b8e9",
    ),
]


@pytest.mark.parametrize(("key", "digest", "first", "second", "name"), GOLDEN)
def test_identity_never_changes_between_releases(key: Key, digest: str, first: str, second: str, name: str) -> None:
    assert key.digest == digest
    assert key.uuid(0) == first
    assert key.uuid(1) == second
    assert key.auto_name(first) == name


def test_the_label_is_no_part_of_the_identity() -> None:
    assert Key("", "network", "a", "x").uuid(0) == Key("", "network", "a", "y").uuid(0)


def test_parts_do_not_run_into_each_other() -> None:
    keys = [Key("a", "b", "c"), Key("ab", "", "c"), Key("", "ab", "c"), Key("a", "bc", ""), Key("", "", "abc")]
    assert len({key.digest for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("label", "stem"),
    [("web", "web"), ("../../etc", "etc"), ("a b/c", "a-b-c"), ("ä", "network"), ("", "network"), ("..", "network"),
     ("-x-", "x"), ("x" * 300, "x" * 60), ("a\x00b", "a-b"), ("<&>", "network")],
)  # fmt: skip
def test_auto_name_is_a_name_whatever_the_label(label: str, stem: str) -> None:
    key = Key("", "network", "n", label)
    name = key.auto_name("01234567-89ab-cdef-0123-456789abcdef")
    assert name == f"{stem}-0123456"
    assert len(name) <= MAX_NAME


def test_auto_name_follows_the_generation() -> None:
    key = Key("", "network", "n", "web")
    assert key.auto_name(key.uuid(0)) != key.auto_name(key.uuid(1))


def test_what_goes_while_it_is_looked_at_is_not_there() -> None:
    key = Key("", "network", "n")

    def gone(_: str) -> Mark:
        raise NotFound("it was removed")

    assert generation(key, lambda uuid: uuid, gone) == (0, key.uuid(0), None)


def test_a_mark_tells_whose_it_is() -> None:
    key = Key("", "network", "n")
    assert Mark(key.digest, 3).of(key)
    assert not Mark(key.digest, 3).of(Key("bob", "network", "n"))


def test_an_id_that_is_no_derived_uuid_is_compared_with_none(monkeypatch: pytest.MonkeyPatch) -> None:
    key, _, first, second, _ = GOLDEN[0]
    assert [key.generation_of(one) for one in (first, second, GOLDEN[1][2])] == [0, 1, None]
    monkeypatch.setattr(Key, "uuid", lambda *_: pytest.fail("a uuid was derived"))
    for one in (f"{first}/volume", "0d6f1f4e-1d5a-4c5b-8f0a-2f6f0f6d1c11", "a name", ""):
        assert key.generation_of(one) is None
