"""The sidecar of a volume: what is written is what is read, and nonsense is nobody's."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from jvp.core.declaration import Declaration
from jvp.core.errors import Rejected
from jvp.core.identity import DeclaredBy, Mark
from jvp.libvirt.storage import volume_record
from jvp.libvirt.storage.volume_record import SIZE, Sidecar

WHOLE = Sidecar("volume", Mark("k", 3, True, "me"), "whole", "n0", "qcow2", {"template_id": "t", "full": False})


class Pool:
    """As much of a pool as reading needs."""

    def __init__(self, length: int) -> None:
        self.length = length

    def connect(self) -> None:
        return None

    def info(self) -> list[int]:
        return [0, self.length, SIZE]


def read(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> Sidecar | None:
    monkeypatch.setattr(volume_record, "read_small", lambda *_, start=0: raw[start : start + _[2]])
    pool: Any = Pool(len(raw))
    return volume_record._read(pool, pool)


@pytest.mark.parametrize("phase", ["filling", "whole", "deleting"])
def test_round_trip(phase: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    record = WHOLE.having(phase=phase)
    raw = volume_record._encoded(record)
    assert len(raw) == SIZE
    assert read(raw, monkeypatch) == record


@pytest.mark.parametrize(
    ("more", "phase", "acknowledged"), [(2, "filling", False), (1, "whole", False), (0, "whole", True)]
)
def test_the_length_of_the_file_tells_how_far_a_foretold_one_came(
    monkeypatch: pytest.MonkeyPatch, more: int, phase: str, acknowledged: bool
) -> None:
    told = {"shapes": [[1, "raw", None]], "begun": False}
    text = volume_record._encoded(WHOLE.having(mark=Mark("k", 3), facts={**WHOLE.facts, **told}))
    found = read(text + b"\0" * more, monkeypatch)
    assert found is not None
    assert (found.phase, found.mark.acknowledged) == (phase, acknowledged)
    assert found.facts == {**WHOLE.facts, **(told if phase == "filling" else {})}
    # An older version wrote who knows of it into the text.
    known = volume_record._encoded(WHOLE.having(facts={**WHOLE.facts, **told}))
    assert read(known + b"\0" * more, monkeypatch) == WHOLE
    # Of any other the text says it all.
    plain = WHOLE.having(mark=Mark("k", 3))
    assert read(volume_record._encoded(plain) + b"\0" * more, monkeypatch) == plain


@pytest.mark.parametrize(
    "raw",
    [b"", b"\0" * SIZE, b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"{}", b'{"mark": {}}',
     b'{"version":1,"mark":{"key":"k","generation":0,"surprise":1}}'],
)  # fmt: skip
def test_what_was_never_written_or_is_not_ours_is_none(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(raw, monkeypatch) is None


@pytest.mark.parametrize("length", [1000, SIZE, 3 * SIZE, volume_record.MOST])
def test_a_longer_record_is_read_to_its_end(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({**json.loads(volume_record._encoded(WHOLE)), "further": "x"}).encode()
    assert read(text[:-2] + b"x" * (length - len(text)) + text[-2:], monkeypatch) == WHOLE
    assert read(text.ljust(length), monkeypatch) == WHOLE


def test_one_of_a_newer_version_is_refused_with_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = json.dumps({"version": 2, "kind": "volume", "mark": "of another form"}).encode()
    with pytest.raises(Rejected, match=r"a newer version of jvp keeps this volume .* install that version"):
        read(raw, monkeypatch)


@pytest.mark.parametrize("changed", [{"phase": "unheard of"}, {"nonce": 1}, {"facts": []}, {"kind": None}])
def test_a_record_of_another_form_is_none_of_ours(changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(json.dumps({**json.loads(volume_record._encoded(WHOLE)), **changed}).encode(), monkeypatch) is None


def test_it_says_its_version() -> None:
    assert json.loads(volume_record._encoded(WHOLE))["version"] == 1


def test_too_much_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        volume_record._encoded(WHOLE.having(facts={"x": "y" * SIZE}))


def test_who_declares_it_stands_beside_the_mark_for_older_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """They make a Mark of what is in "mark", and of no other name."""
    record = WHOLE.having(mark=Mark("k", 3, True, "me", DeclaredBy.of("pulumi", "läden/dev", 'a "b" c')))
    found = json.loads(volume_record._encoded(record))
    assert set(found["mark"]) == {"key", "generation", "acknowledged", "owner"}
    assert found["declaredBy"] == {"door": "pulumi", "label": "läden/dev", "address": 'a "b" c'}
    assert read(volume_record._encoded(record), monkeypatch) == record


def test_who_declares_it_gives_way_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    full = WHOLE.having(facts={"x": "y" * (SIZE - 250)})
    record = full.having(mark=Mark("k", 3, True, "me", DeclaredBy.of("pulumi", "x" * 300, "y" * 500)))
    assert read(volume_record._encoded(record), monkeypatch) == full


def test_what_is_declared_stands_beside_the_mark_too_and_its_names_give_way_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by = DeclaredBy.of("pulumi", "shop/dev", "a" * 100)
    long = Declaration(tuple((f"name{number:04}",) for number in range(100)), settings={"detachOnDelete": False})
    mark = Mark("k", 3, True, "me", by).declaring(long)
    assert set(json.loads(volume_record._encoded(WHOLE.having(mark=mark)))["mark"]) == set(asdict(WHOLE.mark)) - {
        "declared_by", "declared",
    }  # fmt: skip
    for room, kept in (
        (3000, mark),
        (1000, mark.declaring(long.nameless())),
        (250, replace(mark, declared_by=None).declaring(long.nameless())),
        (200, replace(mark, declared_by=None, declared="")),
    ):  # fmt: skip
        full = WHOLE.having(facts={"x": "y" * (SIZE - room)}, mark=mark)
        assert read(volume_record._encoded(full), monkeypatch) == full.having(mark=kept)
    odd = {**json.loads(volume_record._encoded(WHOLE)), "declared": ["x"]}
    assert read(json.dumps(odd).encode(), monkeypatch) == WHOLE


def test_names() -> None:
    assert volume_record.volume_name("data") == ".jvp-data.json"
    assert volume_record.is_sidecar(volume_record.volume_name("data"))
    assert not volume_record.is_sidecar("data.json")
    assert not volume_record.is_sidecar(".jvp-data")


def test_acknowledged_changes_nothing_else() -> None:
    fresh = WHOLE.having(mark=Mark("k", 3, False, "me"))
    assert fresh.acknowledged() == WHOLE
    assert volume_record.new_nonce() != volume_record.new_nonce()
