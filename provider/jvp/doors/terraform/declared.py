"""Two resources of one name in one run: without this the second goes on with what the first has made.

While a run lasts no state has what it makes, so that looks like what a killed run left. A host starts a process for
each provider block and ends it when that block's resources are done, so they tell each other by notes in a folder that
is named after the host. What is noted is forgotten when a state has the object.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import time
from pathlib import Path

from jvp.doors.terraform.certificate import cache_folder

KEPT_S = 86400
"""How long the notes of a host that is gone stay. (In a container others' hosts seem to be gone.)"""


class Declared:
    """What the processes of one host make, by the digest of its key. Best effort beyond this process."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` holds the notes; None where no other process counts."""
        self._folder = folder
        self._made: dict[str, str] = {}
        self._lock = threading.Lock()

    def take(self, digest: str) -> bool:
        """Whether nobody in this run has taken it before."""
        with self._lock:
            if digest in self._made:
                return False
            try:
                if self._folder is not None:
                    _sweep(self._folder)
                    self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                    (self._folder / digest).touch(exist_ok=False)
            except FileExistsError:
                return False
            except OSError:
                self._folder = None
            self._made[digest] = ""
            return True

    def made(self, digest: str, object_id: str) -> None:
        """What was taken is the object of this id."""
        with self._lock:
            self._made[digest] = object_id
            if self._folder is not None:
                with contextlib.suppress(OSError):
                    (self._folder / _name(object_id)).symlink_to(digest)

    def drop(self, digest: str) -> None:
        """What was taken came to nothing."""
        with self._lock:
            self._forget(digest)

    def in_a_state(self, object_id: str) -> None:
        """A state has the object. (What is being made has no id yet.)"""
        if not object_id:
            return
        with self._lock:
            for digest in [digest for digest, made in self._made.items() if made == object_id]:
                self._forget(digest)
            if self._folder is not None:
                with contextlib.suppress(OSError):
                    note = os.path.join(self._folder, _name(object_id))  # noqa: PTH118 - each call looks, in vain
                    self._forget(os.readlink(note))  # noqa: PTH115
                    os.unlink(note)  # noqa: PTH108

    def _forget(self, digest: str) -> None:
        self._made.pop(digest, None)
        if self._folder is not None:
            with contextlib.suppress(OSError):
                (self._folder / digest).unlink()


def folder_of(host: int) -> Path | None:
    """The folder of a host's notes, by its process; None where there can be none."""
    cache, since = cache_folder(), _since(host)
    return cache / "runs" / f"{host}-{since}" if cache is not None and since else None


def _since(host: int) -> str:
    """When the process started: its number comes again. Source: proc(5), stat."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{host}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
    return ""


def _name(object_id: str) -> str:
    return f"id-{hashlib.sha256(object_id.encode()).hexdigest()[:32]}"


def _sweep(ours: Path) -> None:
    """Remove what hosts left that are gone."""
    if ours.exists():
        return
    for one in ours.parent.glob("*-*"):
        host, _, since = one.name.partition("-")
        with contextlib.suppress(OSError, ValueError):
            if _since(int(host)) != since and time.time() - one.stat().st_mtime > KEPT_S:
                shutil.rmtree(one)
