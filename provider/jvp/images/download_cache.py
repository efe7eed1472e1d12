"""Downloads that are kept on this machine, so that the same image is not fetched twice.

One file for each address, beside a note of what it is: the server's word for the version (a strong ETag or a date), the
length and the SHA-256. The server is asked each time; where its word is the same, the body is not fetched. Whatever is
wrong with a kept file, the answer is only slower: it is hashed before it is used, and dropped where it differs.

`JVP_IMAGE_CACHE=off` keeps nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jvp.images.digest_cache import folder

LEAST: Final = 4 * 2**20
"""Shorter bodies are not worth keeping."""
MOST: Final = 8 * 2**30
"""All of it together; what was used longest ago goes first."""
STALE_S: Final = 86400
"""A download that was cut off with its process stays half written; after a day it goes."""


@dataclass(frozen=True)
class Version:
    """An address' content, as the server tells one version from another."""

    url: str
    validator: str | None
    length: int | None

    @property
    def can_be_kept(self) -> bool:
        wanted = os.environ.get("JVP_IMAGE_CACHE", "").lower() not in ("off", "0", "no", "false")
        return wanted and self.validator is not None and self.length is not None and self.length >= LEAST

    @property
    def file(self) -> Path:
        """Named by a digest: an address may hold a password."""
        return _store() / hashlib.sha256(self.url.encode()).hexdigest()

    def note(self, digest: str) -> str:
        return json.dumps({"validator": self.validator, "length": self.length, "sha256": digest})


def kept(version: Version) -> Path | None:
    """The file that holds this version whole; None when there is none."""
    if not version.can_be_kept:
        return None
    file = version.file
    with suppress(OSError, ValueError):
        note = json.loads(_note(file).read_text(encoding="utf-8"))
        if (note["validator"], note["length"]) == (version.validator, version.length):
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest == note["sha256"]:
                os.utime(file)
                return file
            _drop(file)
    return None


def keeping(version: Version, chunks: Generator[bytes, None, None]) -> Iterator[bytes]:
    """The same chunks, written to disk on the way; kept when all of them came. What cannot be written is not kept."""
    part = _room(version) if version.can_be_kept else None
    if part is None:
        yield from chunks
        return
    digest, length, good = hashlib.sha256(), 0, True
    try:
        # Without a buffer: one that a full disk has not taken would fail once more at the close.
        with part.open("wb", buffering=0) as stream:
            for chunk in chunks:
                if good:
                    try:
                        good = stream.write(chunk) == len(chunk)
                    except OSError:  # the image itself goes elsewhere
                        good = False
                    digest.update(chunk)
                    length += len(chunk)
                yield chunk
        if good and length == version.length:
            with suppress(OSError):
                _drop(version.file)
                part.rename(version.file)
                _note(version.file).write_text(version.note(digest.hexdigest()), encoding="utf-8")
    finally:
        chunks.close()
        part.unlink(missing_ok=True)


def _room(version: Version) -> Path | None:
    """Where to write, once there is room for it; None when there is none."""
    store, needed = _store(), version.length or 0
    try:
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = sorted(
            (path for path in store.iterdir() if path.suffix != ".json"), key=lambda path: path.stat().st_mtime
        )
        for path in files:
            if path.suffix == ".part" and time.time() - path.stat().st_mtime > STALE_S:
                path.unlink(missing_ok=True)
        whole = [path for path in files if not path.suffix]
        total = sum(path.stat().st_size for path in whole)
        while whole and total + needed > MOST:
            total -= whole[0].stat().st_size
            _drop(whole.pop(0))
        # Never the last of the disk: the pool may well be on the same one.
        if needed > MOST or _free(store) < 3 * needed:
            return None
        part = version.file.with_suffix(f".{os.getpid()}.part")
        part.touch(mode=0o600, exist_ok=False)
    except OSError:
        return None
    return part


def _free(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _drop(file: Path) -> None:
    for path in (_note(file), file):
        path.unlink(missing_ok=True)


def _note(file: Path) -> Path:
    return file.with_suffix(".json")


def _store() -> Path:
    return folder() / "images"
