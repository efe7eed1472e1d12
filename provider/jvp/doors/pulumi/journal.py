"""A log file for whoever debugs: `JVP_LOG=/tmp/jvp.log`. Names, times and outcomes; never a property's value."""

from __future__ import annotations

import os
import threading
import time
import traceback
from pathlib import Path

_PATH = os.environ.get("JVP_LOG", "")
_lock = threading.Lock()


def note(line: str) -> None:
    """Append a line when there is a log. What cannot be written is not worth an error."""
    if not _PATH:
        return
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
    try:
        with _lock, Path(_PATH).open("a", encoding="utf-8") as file:
            file.write(f"{stamp} {os.getpid()} {line}\n")
    except OSError:
        return


def places(error: BaseException) -> str:
    """Where `error` came from, without its text: that may quote a value."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
