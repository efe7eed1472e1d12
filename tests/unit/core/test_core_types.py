"""The types of properties: what passes, what it means, and the sentence for what does not pass."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from jvp.core import types
from jvp.core.types import (
    MAX_BYTES,
    disk_bytes,
    duration_s,
    is_uuid,
    memory_bytes,
    network_of,
    shortened,
    size_bytes,
    size_text,
)


def refusal(kind: Any, text: object) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1KiB", 1024), ("1MiB", 1024**2), ("1GiB", 1024**3), ("1TiB", 1024**4),
        ("1kB", 1000), ("1MB", 1000**2), ("1GB", 1000**3), ("1TB", 1000**4),
        ("1.5GiB", 3 * 1024**3 // 2), ("0.5KiB", 512), (" 20 GiB ", 20 * 1024**3), ("00010MiB", 10 * 1024**2),
        ("1.000000001GB", 1000000001), (f"{MAX_BYTES // 512 / 2:.1f}KiB", MAX_BYTES),
    ],
)  # fmt: skip
def test_size_means_its_unit(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("512", "is not a size"), ("", "is not a size"), ("GiB", "is not a size"), ("-1GiB", "is not a size"),
        ("1e3GiB", "is not a size"), ("\u0663GiB", "is not a size"), ("1 G i B", "is not a size"),
        ("1,5GiB", "is not a size"),
        ("1\x00GiB", "is not a size"), ("1GiB\nx", "is not a size"),
        ("1G", '"G" is not a unit'), ("1gib", '"gib" is not a unit'), ("1KB", '"KB" is not a unit'),
        ("1B", '"B" is not a unit'), ("1Gb", '"Gb" is not a unit'),
        ("0GiB", "more than zero"), ("0.0TB", "more than zero"),
        ("0.0001kB", "whole number of bytes"), ("9007199254740992TiB", "more than any host"),
    ],
)  # fmt: skip
def test_size_refused(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        size_bytes(text)


@given(st.integers(1, MAX_BYTES // 512).map(lambda sectors: sectors * 512))
def test_size_text_is_exact_for_whole_sectors(size: int) -> None:
    assert size_bytes(size_text(size)) == size


@given(st.integers(1, MAX_BYTES))
def test_size_text_is_a_size_that_a_disk_of_it_would_have(size: int) -> None:
    meant = size_bytes(size_text(size))
    assert meant == size or meant == -(-size // 512) * 512
    assert disk_bytes(size_text(size)) == -(-size // 512) * 512


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (2 * 1024**3, "2GiB"), (1024**4, "1TiB"), (1536 * 1024**2, "1536MiB"), (512, "0.5KiB"), (1536, "1.5KiB"),
        (1000, "1kB"), (10**9, "1000000kB"), (1025, "1.5KiB"), (MAX_BYTES, "8796093022207.5KiB"),
    ],
)  # fmt: skip
def test_size_text(size: int, text: str) -> None:
    assert size_text(size) == text


def test_rounding_of_disks_and_memory() -> None:
    assert disk_bytes("1kB") == 1024
    assert disk_bytes("0.5KiB") == 512
    assert memory_bytes("1MB") == 1024**2
    assert memory_bytes("1MiB") == 1024**2
    assert memory_bytes("1025KiB") == 2 * 1024**2


@pytest.mark.parametrize("text", ["a", "web-1", "Web_2.example+x", "0", "a" * 100])
def test_name_passes(text: str) -> None:
    assert TypeAdapter(types.Name).validate_python(text) == text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "must not be empty"), ("..", "is not a name"), (".", "is not a name"), ("/", "is not a name"),
        ("../etc/passwd", "is not a name"), ("a/b", "is not a name"), (".hidden", "is not a name"),
        ("-flag", "is not a name"), ("a b", "is not a name"), ("a\n", "is not a name"), ("a\x00b", "is not a name"),
        ("a\x1b[31m", "is not a name"), ("<a>", "is not a name"), ("a&b", "is not a name"), ('a"b', "is not a name"),
        ("a'b", "is not a name"), ("ä", "is not a name"), ("a\u202eb", "is not a name"), ("\u0661", "is not a name"),
        ("%s", "is not a name"), ("$(id)", "is not a name"), ("`id`", "is not a name"), ("a;b", "is not a name"),
        ("a" * 300, "300 characters long; at most 100"),
    ],
)  # fmt: skip
def test_hostile_names_are_refused(text: str, part: str) -> None:
    assert part in refusal(types.Name, text)


@given(st.text(max_size=200))
def test_a_name_that_passes_is_harmless_anywhere(text: str) -> None:
    try:
        TypeAdapter(types.Name).validate_python(text)
    except ValidationError:
        return
    assert text.isascii()
    assert text[0].isalnum()
    assert not set(text) & set("/\\<>&'\" \t\r\n;|$`%*?[]{}()~#!\0")
    assert 0 < len(text) <= 100


@pytest.mark.parametrize(
    ("text", "meant"),
    [("192.168.50.0/24", "192.168.50.0/24"), ("10.0.0.0/255.0.0.0", "10.0.0.0/8"), ("::/64", "::/64")],
)
def test_cidr_passes(text: str, meant: str) -> None:
    assert str(network_of(text)) == meant


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("192.168.50.1/24", 'host bits set; the network is "192.168.50.0/24"'), ("192.168.50.0", "no prefix length"),
        ("", "no prefix length"), ("300.0.0.0/8", "is not a network"), ("10.0.0.0/33", "is not a network"),
        ("10.0.0/8", "is not a network"), ("10.0.0.0/-1", "is not a network"), ("10.0.0.0/8/8", "is not a network"),
        ("a/b", "is not a network"), ("10.0.0.0/\x00", "is not a network"),
        ("fd00::%eth0/64", "names an interface; leave out the %"),
    ],
)  # fmt: skip
def test_cidr_refused(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        network_of(text)
    assert part in str(caught.value)
    assert "\x00" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("52:54:00:12:34", "is not a MAC"), ("52-54-00-12-34-56", "is not a MAC"), ("525400123456", "is not a MAC"),
        ("52:54:00:12:34:5g", "is not a MAC"), ("52:54:00:12:34:56\n", "is not a MAC"), ("", "is not a MAC"),
        ("01:00:5e:00:00:01", "multicast"), ("ff:ff:ff:ff:ff:ff", "multicast"), ("00:00:00:00:00:00", "all zeros"),
    ],
)  # fmt: skip
def test_mac_refused(text: str, part: str) -> None:
    assert part in refusal(types.Mac, text)


def test_mac_keeps_its_spelling() -> None:
    assert TypeAdapter(types.Mac).validate_python("52:54:00:AB:CD:EF") == "52:54:00:AB:CD:EF"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("1h0m1s", 3601), ("168h", 604800), ("0s", 0)]
)
def test_duration(text: str, seconds: int) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not a duration"), ("5", "not a duration"), ("5 m", "not a duration"), ("-5s", "not a duration"),
        ("30m1h", "not a duration"), ("1.5h", "not a duration"), ("\u0665m", "not a duration"),
        ("169h", "more than a week"),
        ("9" * 5000 + "s", "not a duration|more than a week"),
    ],
)  # fmt: skip
def test_duration_refused(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part) as caught:
        duration_s(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["192.168.1.1", "fe80::1"])
def test_address_passes(text: str) -> None:
    assert TypeAdapter(types.Address).validate_python(text) == text


@pytest.mark.parametrize("text", ["", "192.168.1", "192.168.1.256", "01.2.3.4", "a", "10.0.0.0/8", "1\x00"])
def test_address_refused(text: str) -> None:
    assert "is not an IP address" in refusal(types.Address, text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("relative/path", "not an absolute path"), ("", "not an absolute path"), ("/a/../b", 'must not contain ".."'),
        ("/..", 'must not contain ".."'), ("/a\x00b", "control characters"), ("/a\nb", "control characters"),
        ("/" + "a" * 5000, "at most 4096"),
    ],
)  # fmt: skip
def test_node_path_refused(text: str, part: str) -> None:
    assert part in refusal(types.NodePath, text)


def test_node_path_may_hold_what_looks_like_dots() -> None:
    assert TypeAdapter(types.NodePath).validate_python("/a..b/...") == "/a..b/..."


@pytest.mark.parametrize("kind", [types.Text, types.Reference])
@pytest.mark.parametrize("text", ["a\x00", "a\x07", "a\r\nb", "\ufffe", "\ud800", "\u2028"])
def test_free_text_stands_in_xml_and_in_one_line(kind: Any, text: str) -> None:
    assert "control characters" in refusal(kind, text)


def test_reference_is_not_empty() -> None:
    assert "must not be empty" in refusal(types.Reference, "")


def test_uuid() -> None:
    assert is_uuid("6F0F3D2E-6f1c-5d5b-9c55-0d8f0b7a3f10")
    assert not is_uuid("6f0f3d2e6f1c5d5b9c550d8f0b7a3f10")
    assert not is_uuid("{6f0f3d2e-6f1c-5d5b-9c55-0d8f0b7a3f10}")
    assert not is_uuid("web")


def test_only_what_cannot_be_printed_is_escaped() -> None:
    assert shortened("café\nü\x07\ud800") == r"café\nü\x07\ud800"


@given(st.text(max_size=300))
def test_shortened_fits_into_a_sentence(text: str) -> None:
    shown = shortened(text)
    assert len(shown) <= 40
    assert shown.isprintable()
