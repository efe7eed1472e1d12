"""A plugin that tells what it finds around it, and the commands that start it plainly and warm."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

from jvp.core import parent
from jvp.warm import launcher, process

HERE = Path(__file__).parent
seen: list[str] = []
"""Something that a launch leaves behind in its process."""


def main() -> int:
    """Do what the arguments say; first of all tell everything."""
    told = {
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "umask": os.umask(0),
        "niceness": os.nice(0),
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in ("RLIMIT_NOFILE", "RLIMIT_CORE")},
        "processors": sorted(os.sched_getaffinity(0)),
        "ignored": sorted(int(one) for one in signal.valid_signals() if signal.getsignal(one) == signal.SIG_IGN),
        "parent": parent.pid(),
        "threads": threading.active_count(),
        "descriptors": sorted(int(one.name) for one in Path("/proc/self/fd").iterdir() if _is_open(one.name)),
        "seen": list(seen),
    }
    seen.append("x")
    print(json.dumps(told | {"pid": os.getpid()}), flush=True)
    match sys.argv[1:]:
        case ["exit", code]:
            return int(code)
        case ["heap"]:
            print(json.dumps({"frozen": gc.get_freeze_count()}), flush=True)
        case ["raise"]:
            raise RuntimeError("as told")
        case ["wait"]:
            signal.signal(signal.SIGTERM, lambda *_: os._exit(42))
            time.sleep(60)
    return 0


def _is_open(number: str) -> bool:
    try:
        os.fstat(int(number))
    except OSError:  # the one that lists them
        return False
    return True


if __name__ == "__main__":
    # As the installed script does, with the toy as the one plugin: `launch …` or `warm SOCKET`.
    launcher.DOORS["terraform"] = "warmtoy"
    launcher.PROCESS = "warmtoy"
    how, *rest = sys.argv[1:]
    if how.startswith("/"):  # the launcher starts a warm process
        process.IMPORTED = ("warmtoy",)
        process.IDLE_S = float(os.environ.get("PYTHON_TOY_IDLE_S", "60"))
        if left := os.environ.get("PYTHON_TOY_FORKS"):
            forks = iter([os.fork] * int(left))

            def fork() -> int:
                try:
                    return next(forks)()
                except StopIteration:
                    raise BlockingIOError("no more processes") from None

            os.fork = fork
        sys.argv = [sys.argv[0], how]
        sys.exit(process.main())
    launcher.is_wanted = lambda door, arguments: True
    sys.argv = [sys.argv[0], *rest]
    sys.exit(launcher.launch("terraform", rest))
