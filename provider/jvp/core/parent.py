"""Which process started this one: in a warm start not the one that it was forked from, but its launcher's."""

from __future__ import annotations

import os
from pathlib import Path

_launcher: int | None = None


def launched_by(pid: int) -> None:
    """Note the launcher of this process."""
    global _launcher
    _launcher = pid


def launcher() -> int | None:
    """The launcher's number; None after a plain start."""
    return _launcher


def pid() -> int:
    """The parent's number now; 1 or that of another reaper when the one that started us is gone."""
    if _launcher is None:
        return os.getppid()
    try:
        status = Path(f"/proc/{_launcher}/status").read_text(encoding="ascii", errors="replace")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))
    except (OSError, StopIteration, ValueError):
        return 1
