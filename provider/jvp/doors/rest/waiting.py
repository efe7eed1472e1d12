"""Waiting for the end of an operation without a thread: hundreds of requests may wait, and the server still answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from jvp.doors.rest.operations import Operation


class Pending(Response):
    """The answer about an operation, which is made and sent once that is over or the wait is."""

    def __init__(self, operation: Operation, limit_s: float, answer: Callable[[Operation], Response]) -> None:
        super().__init__()
        self._operation, self._limit_s, self._answer = operation, limit_s, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await _is_awaited(self._operation, self._limit_s, receive):
            await self._answer(self._operation)(scope, receive, send)


async def _is_awaited(operation: Operation, limit_s: float, receive: Receive) -> bool:
    """Wait; whether the client still does."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def told() -> None:
        with contextlib.suppress(RuntimeError):  # the server is gone meanwhile
            loop.call_soon_threadsafe(over.set)

    operation.listen(told)
    ended, left = asyncio.create_task(over.wait()), asyncio.create_task(is_left(receive))
    try:
        await asyncio.wait((ended, left), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        return not left.done()
    finally:
        operation.unlisten(told)
        for task in (ended, left):
            task.cancel()


async def is_left(receive: Receive) -> None:
    """Come back when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
