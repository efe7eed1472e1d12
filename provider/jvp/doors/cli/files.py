"""Files that the commands write for other programs: whole or not at all, and never over somebody else's."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(target: Path, content: str | bytes, mode: int) -> None:
    """Write a file that takes its place in one step: nobody meets half of it."""
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            os.fchmod(file.fileno(), mode)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def is_made_by(target: Path, line: str) -> bool:
    """Whether one of the first lines of the file says so. Raises OSError."""
    return line.encode() in target.read_bytes()[:200]


def reason(error: OSError) -> str:
    """What the system says, as the end of a sentence."""
    return (error.strerror or str(error)).lower()
