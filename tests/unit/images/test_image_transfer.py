from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jvp.core.errors import Cancelled, Invalid, NoSpace, Unreachable
from jvp.core.work import Work
from jvp.images import ContentDigest, Data, Hole, Verifier, content_digest, fill, parse_checksum
from jvp.images.segments import BLOCK, DATA_MAX, Segment

pytestmark = pytest.mark.unit


@dataclass
class Memory:
    """An upload into memory that takes at most `bite` bytes at once and fails at the end of its `room`."""

    bite: int = DATA_MAX
    room: int = 1 << 40
    content: bytearray = field(default_factory=bytearray)
    ended: list[str] = field(default_factory=list)
    unabortable: bool = False

    def send(self, data: bytes) -> int:
        taken = data[: self.bite]
        if len(self.content) + len(taken) > self.room:
            raise NoSpace("the pool is full")
        self.content += taken
        return len(taken)

    def hole(self, length: int) -> None:
        self.content += bytes(length)

    def finish(self) -> None:
        self.ended.append("finish")

    def abort(self) -> None:
        self.ended.append("abort")
        if self.unabortable:
            raise Unreachable("the daemon is gone")


SEGMENTS: list[Segment] = [Data(b"head" * 1000), Hole(3 * BLOCK), Data(os.urandom(DATA_MAX)), Hole(BLOCK + 1)]
CONTENT = b"".join(s.data if isinstance(s, Data) else bytes(s.length) for s in SEGMENTS)


def test_all_arrives_and_is_counted() -> None:
    upload = Memory()
    verifier = Verifier(parse_checksum(hashlib.sha256(CONTENT).hexdigest()))
    filled = fill(SEGMENTS, upload, verifier=verifier, digest=ContentDigest(), work=Work())
    assert upload.content == CONTENT
    assert upload.ended == ["finish"]
    assert (filled.bytes_sent, filled.total) == (4000 + DATA_MAX, len(CONTENT))
    assert filled.digest == content_digest(SEGMENTS)


def test_no_digest_is_made_up() -> None:
    assert fill([], Memory(), work=Work()).digest is None


@given(
    st.lists(st.one_of(st.binary(min_size=1, max_size=20).map(Data), st.integers(1, 20).map(Hole))),
    st.integers(1, 7),
)
def test_an_upload_that_takes_little_at_once(segments: list[Segment], bite: int) -> None:
    upload = Memory(bite=bite)
    filled = fill(segments, upload, digest=ContentDigest(), work=Work())
    assert bytes(upload.content) == b"".join(s.data if isinstance(s, Data) else bytes(s.length) for s in segments)
    assert filled.digest == content_digest(segments)


def test_a_wrong_checksum_aborts() -> None:
    upload = Memory()
    with pytest.raises(Invalid, match="does not match"):
        fill(SEGMENTS, upload, verifier=Verifier(parse_checksum("0" * 64)), work=Work())
    assert upload.ended == ["abort"]


def test_a_full_pool_aborts() -> None:
    upload = Memory(room=100_000)
    with pytest.raises(NoSpace, match="the pool is full"):
        fill(SEGMENTS * 100, upload, digest=ContentDigest(), work=Work())
    assert upload.ended == ["abort"]


def test_a_source_that_breaks_aborts() -> None:
    def broken() -> Iterator[Segment]:
        yield SEGMENTS[0]
        raise Unreachable("the server ended the connection")

    upload = Memory()
    with pytest.raises(Unreachable, match="ended the connection"):
        fill(broken(), upload, digest=ContentDigest(), work=Work())
    assert upload.ended == ["abort"]


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_cancel_aborts(after: int) -> None:
    work, upload = Work(), Memory()

    def segments() -> Iterator[Segment]:
        for count, segment in enumerate(SEGMENTS):
            if count == after:
                work.cancelled.set()
            yield segment

    with pytest.raises(Cancelled):
        fill(segments(), upload, digest=ContentDigest(), work=work)
    assert upload.ended == ["abort"]


def test_a_cancel_ends_the_hashing_of_a_huge_hole() -> None:
    work, upload = Work(), Memory()
    upload.hole = lambda length: None  # type: ignore[method-assign]
    threading.Timer(0.3, work.cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        fill([Hole(1 << 40)], upload, verifier=Verifier(parse_checksum("0" * 64)), work=work)
    assert time.monotonic() - began < 5
    assert upload.ended == ["abort"]


def test_what_matters_is_the_first_error() -> None:
    upload = Memory(room=10, unabortable=True)
    with pytest.raises(NoSpace) as caught:
        fill(SEGMENTS, upload, work=Work())
    assert caught.value.__notes__ == ["the upload could not be aborted either: the daemon is gone"]


def test_an_error_while_hashing_is_raised() -> None:
    class Broken(ContentDigest):
        def update(self, segment: Segment) -> None:
            raise MemoryError("no")

    upload = Memory()
    with pytest.raises(MemoryError):
        fill(SEGMENTS * 50, upload, digest=Broken(), work=Work())
    assert upload.ended == ["abort"]


def test_an_interrupt_leaves_no_thread() -> None:
    class Interrupted(Memory):
        def send(self, data: bytes) -> int:
            raise KeyboardInterrupt

    upload = Interrupted()
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        fill(SEGMENTS, upload, digest=ContentDigest(), work=Work())
    assert upload.ended == ["abort"]
    for thread in set(threading.enumerate()) - before:
        if thread.name == "jvp-hash":
            thread.join(5)
            assert not thread.is_alive()
