"""Runs a daemon and takes in the processes that it leaves to themselves, as the first process of a machine should.

libvirtd waits until a guest that it ended has been taken in; in a container that can be seconds.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Tell the daemon's number, and end with the daemon."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    daemon = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
    print(daemon.pid, flush=True)
    while os.wait()[0] != daemon.pid:
        pass


if __name__ == "__main__":
    main()
