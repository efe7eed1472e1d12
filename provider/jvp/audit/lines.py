"""The audit as lines of JSON, in a file of each month and user, on the machine where the door runs.

An entry is one write at the end of the file, which it is opened for: so many processes write side by side, nothing is
kept open over a fork, and with the next month the next file begins. No file is ever renamed, cut or removed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jvp.core.audit import Entry
    from jvp.core.trail import Query

VARIABLE = "JVP_AUDIT"
OFF = "off"
TRIES = 50
SYSTEM = Path("/var/lib/jvp")


def write(entry: Entry) -> None:
    """Add an entry. Raises OSError, and ValueError for a variable that names no file."""
    given = os.environ.get(VARIABLE)
    if given == OFF:
        return
    from jvp.core.trail import document

    line = json.dumps(document(entry), ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"
    path = _given(given) if given else _monthly(entry.at)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    try:
        if os.write(descriptor, _begun(descriptor) + line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(descriptor)


def _begun(descriptor: int) -> bytes:
    """What ends a line that a full disk has cut, so that the next one is whole."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not _locked(descriptor):
        return b""
    end = os.fstat(descriptor).st_size
    return b"\n" if end and os.pread(descriptor, 1, end - 1) != b"\n" else b""


def _locked(descriptor: int) -> bool:
    """Whether no other process is in the middle of its line. Who holds the lock for long is not waited for."""
    for _ in range(TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:  # there are no locks on this file system
            return False
    return False


def _given(text: str) -> Path:
    if not text.startswith("/"):
        raise ValueError(f'{VARIABLE} takes "{OFF}" or an absolute path')
    return Path(text)


def folder() -> Path:
    """Where the files are: where systemd says, `/var/lib/jvp` for root, the state folder for others."""
    if service := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(service)
    if os.geteuid() == 0:
        return SYSTEM
    state = os.environ.get("XDG_STATE_HOME", "")
    return Path(state if state.startswith("/") else os.path.expanduser("~/.local/state")) / "jvp"  # noqa: PTH111


def _monthly(at: float) -> Path:
    found = folder()
    if not found.is_dir():
        # The guests of pools in /var/lib/jvp go through it; what a user has of state is that user's alone.
        found.parent.mkdir(parents=True, exist_ok=True)
        found.mkdir(mode=0o700, exist_ok=True)
        if found == SYSTEM:
            found.chmod(0o755)
    return found / f"audit-{os.geteuid()}-{_month(at)}.jsonl"


def _month(at: float) -> str:
    return time.strftime("%Y-%m", time.gmtime(at))


def newest(query: Query, also: Collection[str] = ()) -> list[Entry]:
    """The entries that are asked for, at least the newest ones up to the limit, and those of the calls `also`.

    Raises OSError where a file cannot be read.
    """
    from jvp.core.trail import known

    found: list[Entry] = []
    taken = 0
    for files in _months(query.since):
        calls = known(entry for path in files for entry in _entries(path))
        found += [one for one in calls.values() if query.takes(one) or one.call in also]
        taken += sum(1 for one in calls.values() if query.takes(one))
        if taken > query.limit:
            break
    return found


def _months(since: float) -> Iterator[list[Path]]:
    """The files of each month, the newest first. Root reads those of all users."""
    given = os.environ.get(VARIABLE)
    if given and given != OFF:
        yield [_given(given)]
        return
    whose = "*" if os.geteuid() == 0 else str(os.geteuid())
    months: dict[str, list[Path]] = {}
    for path in sorted(folder().glob(f"audit-{whose}-????-??.jsonl"), reverse=True):
        months.setdefault(path.stem[-7:], []).append(path)
    oldest = _month(max(0.0, since))
    yield from (months[month] for month in sorted(months, reverse=True) if month >= oldest)


def _entries(path: Path) -> Iterable[Entry]:
    from jvp.core.trail import entry_of

    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    entry = entry_of(json.loads(line))
                except (ValueError, RecursionError):  # cut by a full disk, or nothing of ours
                    continue
                if entry is not None:
                    yield entry
    except FileNotFoundError:
        return
