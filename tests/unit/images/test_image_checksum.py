from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jvp.core.errors import Invalid
from jvp.images import BLOCK, ContentDigest, Data, Hole, Verifier, content_digest, parse_checksum
from jvp.images.segments import Segment, punched

pytestmark = pytest.mark.unit

LAYOUT = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=30).map(Data),
        st.sampled_from([1, 4096, BLOCK - 1, BLOCK, 2 * BLOCK + 3]).map(lambda size: Data(bytes(size))),
        st.sampled_from([1, 4096, BLOCK, 3 * BLOCK, 5 * BLOCK + 9]).map(Hole),
    ),
    max_size=10,
)


def flat(segments: list[Segment]) -> bytes:
    return b"".join(s.data if isinstance(s, Data) else bytes(s.length) for s in segments)


def by_definition(image: bytes) -> str:
    whole = hashlib.sha256()
    for index in range(-(-len(image) // BLOCK)):
        block = image[index * BLOCK : (index + 1) * BLOCK]
        if block.count(0) != len(block):
            whole.update(struct.pack(">Q", index) + block)
    whole.update(b"\xff" * 8 + struct.pack(">Q", len(image)))
    return whole.hexdigest()


@given(LAYOUT)
def test_the_digest_is_its_definition_whatever_the_layout(segments: list[Segment]) -> None:
    image = flat(segments)
    expected = by_definition(image)
    assert content_digest(segments) == expected
    assert content_digest(punched(image[i : i + 1000] for i in range(0, len(image), 1000))) == expected


def test_the_digest_sees_length_and_place() -> None:
    layouts: list[list[Segment]] = [
            [], [Hole(BLOCK)], [Hole(2 * BLOCK)], [Data(b"x"), Hole(BLOCK)], [Hole(BLOCK), Data(b"x")],
            [Data(b"x")], [Data(b"x\0")],
    ]  # fmt: skip
    digests = {content_digest(segments) for segments in layouts}
    assert len(digests) == 7


@given(LAYOUT, st.sampled_from(["sha256", "sha512"]))
def test_the_verifier_hashes_holes_as_zeros(segments: list[Segment], algorithm: str) -> None:
    right = parse_checksum(f"{algorithm}:{hashlib.new(algorithm, flat(segments)).hexdigest()}")
    verifier = Verifier(right)
    for segment in segments:
        verifier.update(segment)
    verifier.check()


def test_a_mismatch_names_both() -> None:
    verifier = Verifier(parse_checksum("0" * 64))
    verifier.update(Data(b"x"))
    with pytest.raises(Invalid) as caught:
        verifier.check()
    assert "sha256:" + "0" * 64 in caught.value.message
    assert hashlib.sha256(b"x").hexdigest() in caught.value.message


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("sha256:" + "aB" * 32, "sha256:" + "ab" * 32),
        ("SHA-512: " + "0" * 128 + "\n", "sha512:" + "0" * 128),
        ("1" * 64, "sha256:" + "1" * 64),
        ("1" * 128, "sha512:" + "1" * 128),
    ],
)
def test_checksums_that_are(text: str, means: str) -> None:
    assert str(parse_checksum(text)) == means


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a checksum"),
        ("abc", "not a checksum"),
        ("g" * 64, "not a checksum"),
        ("https://example.org/SHA256SUMS", "not known"),
        ("md5:" + "0" * 32, "'md5' are not known"),
        (":" + "0" * 64, "not known"),
        ("sha256:" + "0" * 63, "64 hexadecimal digits"),
        ("sha256:" + "z" * 64, "64 hexadecimal digits"),
        ("sha512:" + "0" * 64, "128 hexadecimal digits"),
    ],
)
def test_checksums_that_are_not(text: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        parse_checksum(text)


def test_the_digest_of_a_huge_hole_is_free() -> None:
    digest = ContentDigest()
    digest.update(Hole(2**50))
    assert len(digest.hexdigest()) == 64
