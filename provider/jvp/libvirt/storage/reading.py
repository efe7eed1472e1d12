"""Reading all of a volume, piece by piece, with its holes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator

from jvp.core.errors import Unreachable
from jvp.core.work import Progress, Work
from jvp.libvirt.link import handles
from jvp.libvirt.link.node import Node
from jvp.libvirt.storage import copy_volume

_SHOW_S = 0.2


def pieces(
    work: Work, node: Node, volume: handles.StorageVol, *, total: int, verb: str, what: str
) -> Generator[bytes | int, None, None]:
    """The volume's bytes in order; a number is a hole of that length. `total` and `verb` are for the progress.

    To be closed, as by `contextlib.closing`. Raises Cancelled, Unreachable at the deadline, libvirtError.
    """
    done, shown = 0, time.monotonic()
    with node.job(work) as connection:
        source = copy_volume.pieces(connection, copy_volume.on(connection, volume))
        with contextlib.closing(copy_volume.ahead(source, what)) as found:
            for piece in found:
                work.check()
                if work.left() <= 0:
                    raise Unreachable(f"{what}: {verb} did not finish in the time that the call has; allow more")
                yield piece
                done += piece if isinstance(piece, int) else len(piece)
                if time.monotonic() - shown > _SHOW_S:
                    shown = time.monotonic()
                    line = f"{what}: {verb}, {100 * done // max(total, 1)}%"
                    work.transferred(Progress(verb, done, total, line))
