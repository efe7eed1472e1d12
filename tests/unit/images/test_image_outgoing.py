"""The file that an image is written into: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jvp.core.errors import Busy, Rejected
from jvp.core.work import Work
from jvp.images import outgoing

pytestmark = pytest.mark.unit


def breaks() -> Iterator[bytes | int]:
    yield b"new"
    raise Rejected("it breaks")


def test_what_a_run_left_is_not_written_into(tmp_path: Path) -> None:
    """It may be the target itself: a run that dies between its last two steps leaves it with two names."""
    target, partial = tmp_path / "x", tmp_path / ".x.jvp-export"
    target.write_bytes(b"whole")
    os.link(target, partial)
    with pytest.raises(Rejected, match="it breaks"):
        outgoing.write(Work(), str(target), breaks(), overwrite=True)
    assert target.read_bytes() == b"whole"
    os.link(target, partial)
    outgoing.write(Work(), str(target), iter([b"whole"]), overwrite=False)  # of which nobody heard that it ended
    partial.write_bytes(b"of another user, who reads on")
    with partial.open("rb") as theirs:
        outgoing.write(Work(), str(target), iter([b"new", 5]), overwrite=True)
        assert theirs.read() == b"of another user, who reads on"
    assert target.read_bytes() == b"new" + bytes(5)
    assert list(tmp_path.iterdir()) == [target]


def test_long_holes_end_with_the_time_of_the_call(tmp_path: Path) -> None:
    with pytest.raises(Busy, match="was not written in the time"):
        outgoing.write(Work(deadline=0), str(tmp_path / "x"), iter([1 << 50]), overwrite=False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(Rejected, match="cannot be written: no such file"):
        outgoing.write(Work(), str(tmp_path / "none" / "x"), iter([b"x"]), overwrite=False)
