"""The installed launcher, with a plugin that is killed where JVP_CUT says: after a plain start and after a warm one.

JVP_CUT is a place of `cut`; JVP_KILL says who dies there: the `plugin` itself, its `launcher`, or the warm `process`
(after a plain start all three are one). JVP_CUT_LOG names a file that gets the plugin's number and its way of starting.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from jvp.core import parent
from jvp.warm import launcher

HERE = Path(__file__).parent
SELF = "armed"
REAL = dict(launcher.DOORS)
VICTIMS = ("plugin", "launcher", "process")
COMMAND = (sys.executable, "-P", str(HERE / f"{SELF}.py"))
LIMIT_S = 30.0


def script(door: str) -> str:
    """What an engine is given as the provider."""
    return f'#!/bin/sh\nexec {" ".join(COMMAND)} {door} "$@"\n'


def install(folder: Path, door: str) -> None:
    """Put it where the engine of this door looks."""
    names = {"pulumi": "pulumi-resource-jvp", "terraform": "terraform-provider-jvp"}
    folder.mkdir(exist_ok=True)
    (folder / names[door]).write_text(script(door))
    (folder / names[door]).chmod(0o755)


def place(number: int, victim: str, log: Path) -> dict[str, str]:
    """The environment in which somebody dies after the plugin's writing call of this number."""
    return {"JVP_CUT": f"after:{number}", "JVP_KILL": victim, "JVP_CUT_LOG": str(log)}


def killed(log: Path) -> list[str]:
    """How the plugins were started that had to die; all of them are gone. Raises AssertionError."""
    ways = []
    for line in log.read_text().splitlines() if log.exists() else ():
        pid, way = line.split()
        end = time.monotonic() + LIMIT_S
        while _runs(pid):
            assert time.monotonic() < end, f"the plugin {pid} outlived its {way} start"
            time.sleep(0.02)
        ways.append(way)
    log.unlink(missing_ok=True)
    return ways


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def plugin(door: str) -> int:
    """The plugin of this door, armed."""
    if cut := os.environ.get("JVP_CUT"):
        import libvirt

        sys.path.insert(0, str(HERE))
        from cut import Cut, arm

        arm(libvirt, Cut(cut, lambda _name: None, _victim()))
    return int(importlib.import_module(REAL[door]).main() or 0)


def _victim() -> Callable[[], int]:
    warm = parent.launcher() is not None

    def found() -> int:
        with Path(os.environ["JVP_CUT_LOG"]).open("a") as log:
            log.write(f"{os.getpid()} {'warm' if warm else 'plain'}\n")
        match os.environ["JVP_KILL"] if warm else "plugin":
            case "launcher":
                return parent.launcher() or 0
            case "process":
                return os.getppid()
        return os.getpid()

    return found


def main() -> int:
    """`armed.py DOOR ARGUMENTS`, as an engine says it; `-m armed SOCKET` is the warm process of that."""
    from jvp.warm import process

    for door in REAL:
        sys.modules[f"armed_{door}"] = SimpleNamespace(main=partial(plugin, door))  # type: ignore[assignment]
        launcher.DOORS[door] = f"armed_{door}"
    launcher.PROCESS = SELF
    # That a busy machine is too slow, and the start a plain one, is for other tests.
    launcher.PATIENCE_S = process.PATIENCE_S = LIMIT_S
    first, *rest = sys.argv[1:]
    if first.startswith("/"):
        return process.main()
    wanted = launcher.is_wanted(first, rest)
    launcher.is_wanted = lambda door, arguments: wanted
    os.environ["PYTHONPATH"] = str(HERE)  # where the warm process finds this module
    sys.argv = [sys.argv[0], *rest]
    return launcher.launch(first, rest)


if __name__ == "__main__":
    sys.exit(main())
