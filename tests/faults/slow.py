"""A node on which a call lasts as long as the test wants."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from hosts.daemon import SystemHost

PATIENCE_S = 60.0
_HOOK = """#!/bin/sh
[ "$2 $3" = "start begin" ] || exit 0
touch "{folder}/begun-$1"
while [ -e "{folder}/hold" ]; do sleep 0.1; done
exit 1
"""


class SlowHost:
    """A node on which starting a network lasts until `release`, and is then refused."""

    def __init__(self, folder: Path, name: str) -> None:
        self.host = SystemHost(folder, name, libvirtd="keepalive_interval = 1\nkeepalive_count = 5\n")
        self.hold = folder / "hold"
        hook = folder / "etc/hooks/network"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_HOOK.format(folder=folder))
        hook.chmod(0o755)
        self.hold.touch()
        self.host.daemon.restart()

    def begun(self) -> int:
        return len(list(self.host.folder.glob("begun-*")))

    def release(self) -> None:
        self.hold.unlink(missing_ok=True)

    def heal(self) -> None:
        """From now on networks start."""
        (self.host.folder / "etc/hooks/network").write_text("#!/bin/sh\nexit 0\n")

    def close(self) -> None:
        self.release()
        self.host.close()


def until(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.02)
