"""What a person asks the warm processes of this user: who is there, and to end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jvp.warm import place
from jvp.warm.launcher import hand_over

PATIENCE_S = 2.0


@dataclass(frozen=True)
class Running:
    """One warm process."""

    pid: int
    launches: int
    """Plugins that it has started."""
    running: int
    """Those of them that still run: it ends after the last one."""


def ask(question: str) -> Iterator[Running]:
    """Every warm process of this user; with `stop` each takes no further launch and ends. Again: as good as once."""
    folder = place.folder()
    for path in sorted(Path(folder).iterdir()) if folder else ():
        if path.suffix == ".lock":
            continue
        with contextlib.suppress(OSError, ValueError, TypeError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(os.fspath(path))
            hand_over(connection, question, ())
            answer = b""
            while part := connection.recv(4096):
                answer += part
            yield Running(**json.loads(answer))
