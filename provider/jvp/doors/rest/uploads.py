"""Uploads of images: begun with a POST, gone on with by PATCH where they were cut off, and then named where an image is
declared. In the manner of draft-ietf-httpbis-resumable-upload.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Depends, FastAPI, Header, Query, Request, Response
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from jvp.core.errors import Invalid
from jvp.doors.rest.problems import Refused
from jvp.doors.rest.requests import caller_of, shown, strict
from jvp.doors.rest.spool import PIECE, Upload, Uploads

PATH = "/api/uploads"
SWEEP_S = 900.0
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, description="Where this piece begins; else 409.")]
Length = Annotated[int | None, Query(ge=1, description="The bytes of all of it; by default those of this body.")]
Digits = Annotated[str | None, Query(description="What all of it must hash to, in hexadecimal digits.")]


def add_to(app: FastAPI, uploads: Uploads) -> None:
    """Add the routes."""
    routes = _Routes(uploads)
    tags: list[str | Enum] = ["uploads"]
    one = f"{PATH}/{{id}}"
    for path, endpoint, method, name, summary in (
        (PATH, routes.list, "GET", "listUploads", "Your uploads, the newest first."),
        (PATH, routes.create, "POST", "beginUpload", "Begin an upload; the body is all of it, or its first piece."),
        (one, routes.get, "GET", "readUpload", "One upload: how many bytes are there."),
        (one, routes.append, "PATCH", "appendUpload", "Go on with an upload where it ends."),
        (one, routes.delete, "DELETE", "deleteUpload", "Drop an upload."),
    ):
        app.add_api_route(
            path, endpoint, methods=[method], tags=tags, operation_id=name, summary=summary,
            dependencies=[Depends(strict)],
        )  # fmt: skip


@asynccontextmanager
async def sweeping(uploads: Uploads) -> AsyncIterator[None]:
    """Drop what is abandoned, now and from time to time."""

    async def sweep() -> None:
        while True:
            try:
                await to_thread.run_sync(uploads.sweep)
            except OSError as error:
                logging.getLogger("jvp").error("the uploads cannot be looked at: %s", error.strerror)
            await asyncio.sleep(SWEEP_S)

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()


class _Routes:
    """The endpoints. What waits for a client's bytes holds no thread."""

    def __init__(self, uploads: Uploads) -> None:
        self.uploads = uploads

    def list(self, request: Request) -> Response:
        return JSONResponse({"items": [one.document() for one in self.uploads.of(caller_of(request))]})

    def get(self, id: str, request: Request) -> Response:
        return _told(self.uploads.get(caller_of(request), id))

    def delete(self, id: str, request: Request) -> Response:
        self.uploads.drop(self.uploads.get(caller_of(request), id))
        return Response(status_code=204)

    async def create(self, request: Request, length: Length = None, sha256: Digits = None) -> Response:
        digits = sha256.lower().removeprefix("sha256:") if sha256 is not None else None
        if digits is not None and not re.fullmatch(r"[0-9a-f]{64}", digits):
            raise Invalid("must be 64 hexadecimal digits", path=("sha256",))
        of_body = _length(request)
        whole = length or of_body
        if not whole:
            raise Invalid("is required where the body does not tell it", path=("length",))
        if of_body is not None and of_body > whole:
            raise Invalid(f"is {whole}, and the body alone has {of_body} bytes", path=("length",))
        upload = await to_thread.run_sync(self.uploads.create, caller_of(request), whole, digits)
        await self._receive(request, upload, 0)
        return _told(upload, 201)

    async def append(self, id: str, request: Request, offset: Offset) -> Response:
        upload = await to_thread.run_sync(self.uploads.get, caller_of(request), id)
        try:
            await self._receive(request, upload, offset)
        except Refused as error:  # tells where to go on
            response = shown(error.problem)
            response.headers.update(_headers(upload))
            return response
        return _told(upload)

    async def _receive(self, request: Request, upload: Upload, offset: int) -> None:
        """Write the body. What has come of one that is cut off is kept."""
        turn = await to_thread.run_sync(upload.begin, offset)
        if offset + (_length(request) or 0) > upload.length:
            raise Invalid(f"the upload has {upload.length} bytes, and this goes beyond them", path=("length",))
        held = bytearray()
        try:
            async for chunk in request.stream():
                held += chunk
                if len(held) >= PIECE:
                    piece, held = bytes(held), bytearray()
                    await to_thread.run_sync(self.uploads.write, upload, turn, piece)
        except ClientDisconnect:
            raise Refused(400, "malformed", "the body was cut off") from None
        finally:
            if held:
                await to_thread.run_sync(self.uploads.write, upload, turn, bytes(held))
        await to_thread.run_sync(self.uploads.finish, upload)


def _length(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _headers(upload: Upload) -> dict[str, str]:
    return {"Upload-Offset": str(upload.offset), "Upload-Length": str(upload.length), "Cache-Control": "no-store"}


def _told(upload: Upload, status: int = 200) -> Response:
    headers = {**_headers(upload), **({"Location": f"{PATH}/{upload.id}"} if status == 201 else {})}
    return JSONResponse(upload.document(), status, headers)


def described(calls: dict[str, Any]) -> dict[str, Any]:
    """The schema of an upload; and the bodies and answers of its calls put into the document's."""
    body = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    calls["beginUpload"]["requestBody"] = {"required": False, **body}
    calls["appendUpload"]["requestBody"] = {"required": True, **body}
    return UPLOAD


_TIME = {"type": "string", "format": "date-time"}
UPLOAD = {
    "type": "object",
    "description": "An image on its way to the server, until a template or volume is made of it.",
    "properties": {
        "id": {"type": "string", "description": "What source.upload of a template and imageUpload of a volume take."},
        "state": {
            "enum": ["incomplete", "complete", "used"],
            "type": "string",
            "description": "Of a used one the bytes are where they belong, and not here any more.",
        },
        "length": {"type": "integer", "description": "The bytes of all of it.", "x-unit": "bytes"},
        "offset": {"type": "integer", "description": "The bytes that are there.", "x-unit": "bytes"},
        "checksum": {"type": "string", "description": "sha256:<hex>: what was said; of a complete one what it is."},
        "createdAt": {**_TIME, "description": "When it was begun."},
        "expiresAt": {**_TIME, "description": "When it is dropped, where nothing comes for it."},
    },
    "required": ["id", "state", "length", "offset", "createdAt", "expiresAt"],
}
