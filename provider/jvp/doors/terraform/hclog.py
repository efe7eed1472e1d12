"""Lines on stderr as the host takes them: JSON, one object a line. Names, times and outcomes; never a value."""

from __future__ import annotations

import json
import sys
import time
import traceback


def write(level: str, line: str) -> None:
    """A line of the host's log, shown with TF_LOG."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}Z"
    print(
        json.dumps({"@level": level, "@message": line, "@module": "jvp", "@timestamp": stamp}),
        file=sys.stderr,
        flush=True,
    )


def places(error: BaseException) -> str:
    """Where `error` came from, without its text: that may quote a value."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
