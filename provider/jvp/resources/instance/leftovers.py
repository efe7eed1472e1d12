"""What lies under the names of an instance's own files before it is made: an earlier one's, or somebody else's."""

from __future__ import annotations

from jvp.core.errors import Rejected
from jvp.core.work import Work
from jvp.images.seed import LABEL, LABEL_AT
from jvp.libvirt.link import handles
from jvp.libvirt.storage.lookup import there
from jvp.libvirt.storage.streams import read_small

_BLANK = 64 * 1024
_SIGNS = {"cloud-init disk": ((LABEL_AT, LABEL.encode()),), "UEFI variables": ((40, b"_FVH"), (0, b"QFI\xfb"))}
"""What tells a file's content, and where in it. An earlier instance of the same name may have left one."""


def refuse_foreign(work: Work, pool: handles.StoragePool, seed: str, nvram: str) -> None:
    """Raise Rejected when a file that is called as one of ours holds something else: it would be written over.

    One that is blank was never written. Raises libvirtError.
    """
    for kind, name in zip(_SIGNS, (seed, nvram), strict=True):
        volume = there(work, pool, name)
        if volume is None:
            continue
        start = read_small(pool.connect(), volume, _BLANK)
        if start.strip(b"\0") and not any(start.startswith(sign, at) for at, sign in _SIGNS[kind]):
            raise Rejected(
                f"the file {volume.path()} has the name of the instance's {kind}, and is none; move it away, and run "
                "again"
            )
