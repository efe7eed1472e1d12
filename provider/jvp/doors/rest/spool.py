"""Uploaded images while they come in, and until they are used: files in a folder that nobody else may look into.

An upload is two files: `ID.json`, what is said of it, and `ID`, its bytes so far. They come in order, so the length of
that file is how far the upload is, also for a server that has just started. Runs of zeros are holes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jvp.core.errors import Invalid, NoSpace, Rejected
from jvp.core.errors import Path as Property
from jvp.core.types import utc_text
from jvp.doors.rest.problems import Refused

BLOCK = 64 * 1024
PIECE = 1024 * 1024
EACH_MAX, ALL_MAX = 64 * 1024**3, 256 * 1024**3
"""Bytes: the longest upload, and what all of them may take on the disk together."""
CALLERS_MAX, COUNT_MAX = 20, 500
"""So many uploads may one caller have, and all of them."""
FREE_BYTES = 256 * 1024**2
"""What is left of the disk for others."""
KEPT_S = 24 * 3600.0
_ZEROS = bytes(BLOCK)


def default_folder() -> Path:
    """Where systemd says, in `/var/lib/jvp` for root, in the state folder for others. No pool can have that name."""
    service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if service or os.geteuid() == 0:
        return Path(service or "/var/lib/jvp", ".uploads")
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111 - never fails
    return Path(state, "jvp", ".uploads")


@dataclass
class Upload:
    """One upload. Safe to use from many threads."""

    id: str
    caller: str
    length: int
    sha256: str | None
    """Hexadecimal digits: of what the caller said; of the content once it is checked."""
    created: float
    checked: bool = False
    """All is there, and hashes to that."""
    used: bool = False
    """Its bytes are where they belong by now, and not here any more."""
    file: Path = field(default=Path(), repr=False)
    turn: int = 0
    """Which request writes: the last one that began. An earlier one whose client is gone may still wait for bytes."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _hash: Any = field(default_factory=hashlib.sha256, repr=False)
    _hashed: int = 0

    @property
    def checksum(self) -> str | None:
        return f"sha256:{self.sha256}" if self.sha256 is not None else None

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        if self.used:
            return self.length
        with contextlib.suppress(FileNotFoundError):
            return self.file.stat().st_size
        return 0

    @property
    def taken(self) -> int:
        """The bytes that it takes on the disk."""
        with contextlib.suppress(OSError):
            return self.file.stat().st_blocks * 512
        return 0

    @property
    def touched(self) -> float:
        """When something was last done to it."""
        found = self.created
        for file in (self.file, _notes(self.file)):
            with contextlib.suppress(OSError):
                found = max(found, file.stat().st_mtime)
        return found

    @property
    def state(self) -> str:
        return "used" if self.used else "complete" if self.checked else "incomplete"

    def document(self) -> dict[str, Any]:
        """As it is shown."""
        found = {
            "id": self.id, "state": self.state, "length": self.length, "offset": self.offset,
            "checksum": self.checksum, "createdAt": utc_text(self.created),
            "expiresAt": utc_text(self.touched + KEPT_S),
        }  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}

    def begin(self, offset: int) -> int:
        """Begin to write at `offset`; what began before writes no more. Raises Refused where that is not its end."""
        with self.lock:
            if offset != self.offset:
                raise Refused(409, "precondition", f"the upload has {self.offset} bytes: go on there, not at {offset}")
            self.turn += 1
            return self.turn

    def write(self, turn: int, data: bytes) -> None:
        """Append. Raises Refused for who is not at turn, Invalid for more than the length, NoSpace; OSError."""
        with self.lock:
            at = self.offset
            if turn != self.turn:
                raise Refused(409, "precondition", "another request goes on with the upload")
            if at + len(data) > self.length:
                raise Invalid(f"the upload has {self.length} bytes, and more came", path=("length",))
            descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                _write_sparsely(descriptor, data, at)
            except OSError as error:
                raise NoSpace(f"the server cannot keep more of the upload: {error.strerror}") from None
            finally:
                os.close(descriptor)
            if self._hashed == at:  # else the rest is read when all is there
                self._hash.update(data)
                self._hashed += len(data)

    def finish(self) -> bool:
        """Whether all is there; then it is checked. Raises Invalid where it is not what was said."""
        with self.lock:
            if self.checked or self.offset != self.length:
                return self.checked
            with self.file.open("rb") as file:
                file.seek(self._hashed)
                while piece := file.read(PIECE):
                    self._hash.update(piece)
                    self._hashed += len(piece)
            found = self._hash.hexdigest()
            if self.sha256 not in (None, found):
                message = f"the upload's checksum does not match: expected {self.checksum}, found sha256:{found}"
                raise Invalid(message, path=("sha256",))
            self.sha256, self.checked = found, True
            self.save()
            return True

    def save(self) -> None:
        """Write down what is said of it, in one step."""
        names = ("caller", "length", "sha256", "created", "checked", "used")
        _replace(_notes(self.file), json.dumps({name: getattr(self, name) for name in names}))


class Uploads:
    """The uploads of one server. Safe to use from many threads."""

    def __init__(self, folder: Path | None, each_max: int = EACH_MAX, all_max: int = ALL_MAX) -> None:
        """Without a folder none is taken."""
        self._folder, self.each_max, self._all_max = folder, each_max, all_max
        self._all: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def create(self, caller: str, length: int, sha256: str | None) -> Upload:
        """Begin one. Raises Refused for one too long or too many, NoSpace."""
        if self._folder is None:
            raise Refused(503, "interrupted", "this server takes no uploads")
        if length > self.each_max:
            raise Refused(413, "too-large", f"an upload has at most {self.each_max} bytes here")
        id = str(uuid.uuid4())
        made = Upload(id, caller, length, sha256, time.time(), file=self._folder / id)
        with self._lock:
            try:
                self._folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                self._folder.mkdir(mode=0o700, exist_ok=True)
                waiting = [one for one in self._found() if not one.used]
                if sum(one.caller == caller for one in waiting) >= CALLERS_MAX or len(waiting) >= COUNT_MAX:
                    many = f"{CALLERS_MAX} uploads of yours are there; use them, or delete some"
                    raise Refused(429, "too-many", many)
                self._refuse_full(0)
                made.save()
            except OSError as error:
                raise NoSpace(f"the server cannot keep uploads: {error.strerror}") from None
            self._all[id] = made
        return made

    def get(self, caller: str, id: str) -> Upload:
        """Raises Refused when this caller has none."""
        with self._lock:
            found = self._all.get(id) or next((one for one in self._found() if one.id == id), None)
        if found is None or found.caller != caller:
            raise Refused(404, "not-found", "you have no such upload; one that nothing came for is dropped after a day")
        return found

    def of(self, caller: str) -> list[Upload]:
        """Those of one caller, the newest first."""
        with self._lock:
            return sorted((one for one in self._found() if one.caller == caller), key=lambda one: -one.created)

    def write(self, upload: Upload, turn: int, data: bytes) -> None:
        """Append. Raises as `Upload.write`, NoSpace also for what all uploads may take."""
        with self._lock:
            self._refuse_full(len(data))
        upload.write(turn, data)

    def finish(self, upload: Upload) -> None:
        """Check one that is all there. Raises Invalid where it is not what was said, and drops it."""
        try:
            upload.finish()
        except Invalid:
            self.drop(upload)
            raise

    def drop(self, upload: Upload) -> None:
        """Remove one. Again: yes."""
        with self._lock:
            self._all.pop(upload.id, None)
            _remove(upload)

    def checksum(self, caller: str, text: str, path: Property) -> str:
        """The checksum by which what an id names is declared. Raises Invalid at `path`, Rejected for a part of one."""
        if text.startswith("sha256:"):
            return text
        try:
            upload = self.get(caller, text)
        except Refused:
            raise Invalid("there is no upload of yours with this id", path=path) from None
        try:
            self.finish(upload)
        except Invalid as error:
            error.path = path
            raise
        if upload.checksum is None or not upload.checked:
            reason = f"the upload is not complete: {upload.offset} of {upload.length} bytes are there"
            raise Rejected(reason, path=path)
        return upload.checksum

    def files(self, caller: str, checksums: Iterable[str]) -> dict[str, str]:
        """The files of those that are there."""
        wanted, found = {*checksums}, self.of(caller) if checksums else ()
        return {
            one.checksum: str(one.file) for one in found if one.checked and not one.used and one.checksum in wanted
        }  # fmt: skip

    def use(self, caller: str, checksums: Iterable[str]) -> None:
        """Let go of bytes that are where they belong. That they were there is known for a day: ids still tell."""
        wanted = {*checksums}
        for one in self.of(caller) if wanted else ():
            if one.checked and not one.used and one.checksum in wanted:
                one.used = True
                one.save()
                one.file.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Drop what nothing was done to for a day."""
        with self._lock:
            self._found()

    def _found(self) -> list[Upload]:
        """All that are there, also of a server before, or beside this one."""
        if self._folder is None:
            return []
        every = [*self._folder.glob("*.json")] if self._folder.is_dir() else []
        read = (self._all.get(file.stem) or _read(file) for file in every)
        self._all = {one.id: one for one in read if one is not None}
        for old in [one for one in self._all.values() if time.time() - one.touched > KEPT_S]:
            del self._all[old.id]
            _remove(old)
        return [*self._all.values()]

    def _refuse_full(self, more: int) -> None:
        assert self._folder is not None
        if sum(one.taken for one in self._all.values()) + more > self._all_max:
            raise NoSpace("the uploads that are there take all the room that this server has for them")
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize - more < FREE_BYTES:
            raise NoSpace("the disk that the server keeps uploads on is full")


def _notes(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _read(notes: Path) -> Upload | None:
    """An upload from its notes; None, after a day gone, for what is none."""
    file = notes.with_suffix("")
    try:
        return Upload(file.name, file=file, **json.loads(notes.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        with contextlib.suppress(OSError):
            if time.time() - notes.stat().st_mtime > KEPT_S:
                notes.unlink()
        return None


def _remove(upload: Upload) -> None:
    upload.file.unlink(missing_ok=True)
    _notes(upload.file).unlink(missing_ok=True)


def _replace(file: Path, text: str) -> None:
    part = file.with_name(f".{file.name}.{threading.get_ident()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as made:
        made.write(text)
    part.replace(file)


def _write_sparsely(descriptor: int, data: bytes, at: int) -> None:
    """Write what is not all zeros, block by block of the file, and make it as long as it is then."""
    view, begin, size = memoryview(data), 0, len(data)
    end = -at % BLOCK or BLOCK
    while begin < size:
        end = min(end, size)
        if not _ZEROS.startswith(data[begin:end]):
            _write(descriptor, view[begin:end], at + begin)
        begin, end = end, end + BLOCK
    if os.fstat(descriptor).st_size < at + size:
        os.ftruncate(descriptor, at + size)


def _write(descriptor: int, data: memoryview, at: int) -> None:
    while data:
        done = os.pwrite(descriptor, data, at)
        data, at = data[done:], at + done
