"""The content of a volume as a download: `GET /api/volumes/REF/content`. Holes go over as zeros: HTTP has none."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import quote

import anyio
import anyio.to_thread
from fastapi import Depends, FastAPI, Query, Request, Response
from starlette.types import Receive, Scope, Send

from jvp.core.errors import Busy, JvpError
from jvp.core.text import sentence
from jvp.core.work import Work
from jvp.doors.rest import problems
from jvp.doors.rest.events import HEAD
from jvp.doors.rest.login import login_of
from jvp.doors.rest.requests import Door, shown, strict
from jvp.doors.rest.waiting import is_left
from jvp.resources.storage.volume_actions import Opened

MOST = 2
"""So many downloads at once: each holds a connection to the node, of which there are few."""
LONGEST_S = 24 * 3600.0
TYPE = "application/octet-stream"
DESCRIBED = {"description": "The image.", "content": {TYPE: {"schema": {"type": "string", "format": "binary"}}}}
Format = Annotated[
    Literal["qcow2", "raw"] | None,
    Query(
        description="Which image to give; by default as the volume is, and qcow2 of one that lies under a snapshot. "
        "Another one takes room in its pool."
    ),
]
_ZEROS = bytes(256 * 1024)
_slots = threading.BoundedSemaphore(MOST)


def add_to(app: FastAPI, door: Door, read: Callable[[str, Request], Response]) -> None:
    """Add the route. Before that of a volume, whose name takes any path: `read` answers for one called `content`."""

    @app.get(
        "/api/volumes/{ref:path}/content", dependencies=[Depends(strict)], operation_id="downloadVolume",
        tags=["volumes"], response_class=Response, responses={200: DESCRIBED},
        summary="All that is in a volume, as one image. A guest that runs must not write to it.",
    )  # fmt: skip
    def content(ref: str, request: Request, format: Format = None) -> Response:
        if "/" not in ref:  # which names a pool
            return read(f"{ref}/content", request)
        found = door.changes.found("Volume", ref, door.reading())
        login_of(request).scope.refuse_outside(found.state)
        work = Work(deadline=time.monotonic() + LONGEST_S)
        action: Any = door.objects.actions["exportVolume"]
        name = found.state["name"]
        return Download(lambda stack: stack.enter_context(action.opened(work, found.id, format)), name, work)


class Download(Response):
    """Opens the image, sends it, and closes it, whatever becomes of the client."""

    def __init__(self, opened: Callable[[contextlib.ExitStack], Opened], name: str, work: Work) -> None:
        super().__init__()
        self._opened, self._name, self._work = opened, name, work
        self._apart: list[asyncio.Future[Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get(HEAD):
            await self._begin(send, {}, more=False)
            return
        if not _slots.acquire(blocking=False):
            problem = problems.of(Busy(f"{MOST} downloads are under way, and there are no more at once; ask again"))
            await shown(problem)(scope, receive, send)
            return
        stack = contextlib.ExitStack()
        left = asyncio.create_task(is_left(receive))
        sent = asyncio.create_task(self._send(stack, scope, receive, send))
        try:
            await asyncio.wait((left, sent), timeout=self._work.left(), return_when=asyncio.FIRST_COMPLETED)
            if sent.done():
                sent.result()
            elif not left.done():
                self._cut("it did not end within a day")
        except JvpError as error:  # half of it is out: to end it short is all that can be told
            self._cut(error.message)
        finally:
            self._work.cancelled.set()
            for task in (left, sent):
                task.cancel()
            try:
                with anyio.CancelScope(shield=True):
                    await asyncio.gather(left, sent, *self._apart, return_exceptions=True)
                    with contextlib.suppress(JvpError):
                        await anyio.to_thread.run_sync(stack.close)
            finally:
                _slots.release()

    async def _run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What a call in another thread gives. It ends before the image is closed, also where nobody waits for it."""
        self._apart = [asyncio.ensure_future(anyio.to_thread.run_sync(call, *arguments))]
        return await asyncio.shield(self._apart[0])

    async def _send(self, stack: contextlib.ExitStack, scope: Scope, receive: Receive, send: Send) -> None:
        run = self._run
        try:
            length, format, pieces = await run(self._opened, stack)
        except JvpError as error:
            await shown(problems.of(error))(scope, receive, send)
            return
        named = f"attachment; filename*=UTF-8''{quote(f'{self._name}.{format}', safe='')}"
        await self._begin(send, {"content-disposition": named, "content-length": str(length)}, more=True)
        held = b""
        while (piece := await run(next, pieces, None)) is not None:
            rest = piece if isinstance(piece, int) else len(piece)
            while rest > 0:
                await send({"type": "http.response.body", "body": held, "more_body": True})
                held = piece if isinstance(piece, bytes) else _ZEROS[: min(rest, len(_ZEROS))]
                rest -= len(held)
        # The end of the pieces tells that nobody wrote to it meanwhile, so the last one goes out after that alone.
        await run(stack.close)
        await send({"type": "http.response.body", "body": held, "more_body": False})

    def _cut(self, why: str) -> None:
        logging.getLogger("jvp").warning("%s", sentence(f'the download of volume "{self._name}" was cut off: {why}'))

    async def _begin(self, send: Send, more_headers: dict[str, str], *, more: bool) -> None:
        headers = {"content-type": TYPE, "cache-control": "no-store", **more_headers}
        encoded = [(name.encode(), text.encode()) for name, text in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": encoded})
        if not more:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
