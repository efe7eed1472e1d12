"""The download of a volume: what it is called, and what is told where it does not come to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from jvp.core.errors import Busy
from jvp.core.work import Work
from jvp.doors.rest.download import Download

pytestmark = pytest.mark.unit


def sent(*pieces: bytes | int, fails: bool = False) -> list[dict[str, Any]]:
    def drawn() -> Iterator[bytes | int]:
        yield from pieces
        if fails:
            raise Busy("the volume was written to while it was read; run again")

    def opened(_stack: contextlib.ExitStack) -> tuple[int, str, Iterator[bytes | int]]:
        return sum(one if isinstance(one, int) else len(one) for one in pieces), "qcow2", drawn()

    async def receive() -> Any:
        await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        messages.append(message)

    messages: list[dict[str, Any]] = []
    asyncio.run(Download(opened, "data", Work())({"type": "http"}, receive, send))
    return messages


def test_its_name_tells_the_format_that_it_has() -> None:
    head, *rest = sent(b"ab", 3, b"c")
    assert dict(head["headers"])[b"content-disposition"] == b"attachment; filename*=UTF-8''data.qcow2"
    assert dict(head["headers"])[b"content-length"] == b"6"
    assert b"".join(one["body"] for one in rest) == b"ab\0\0\0c"
    assert [one["more_body"] for one in rest][-2:] == [True, False]


def test_what_fails_in_between_is_cut_short_and_logged_in_its_own_words(caplog: pytest.LogCaptureFixture) -> None:
    _, *rest = sent(b"ab", b"c", fails=True)
    assert all(one["more_body"] for one in rest)
    assert b"".join(one["body"] for one in rest) == b"ab"
    said = 'the download of volume "data" was cut off: the volume was written to while it was read; run again'
    assert [one.getMessage() for one in caplog.records if one.name == "jvp"] == [said]
