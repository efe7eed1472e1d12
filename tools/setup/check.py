"""Step ``check``: can this machine be set up at all? All that is missing is said in one message."""

import os
import platform
from collections.abc import Iterable
from pathlib import Path

from tools.setup.project import SetupError, Step

DEBIAN = 12


def check(steps: Iterable[Step]) -> str:
    """Look at the user, the system, and what the steps need (Go, if an engine has to be built). Raises SetupError."""
    obstacles = [step.obstacle() for step in steps if step.obstacle]
    missing = [problem for problem in (_root(), _system(), *obstacles) if problem]
    if missing:
        listed = "\n".join(f"  - {problem}" for problem in missing)
        raise SetupError(f"this machine is not ready; please put right, then run the same command again:\n{listed}")
    return f"{_release().get('PRETTY_NAME', 'Debian')}, Python {platform.python_version()}, root"


def _root() -> str | None:
    if os.geteuid() == 0:
        return None
    return "run it as root (packages, libvirt's system daemon and networks need that), e.g. sudo make demo"


def _system() -> str | None:
    if platform.machine() != "x86_64":
        return f"the processor is {platform.machine()}; the guests of demo and tests are built for x86_64"
    release = _release()
    if release.get("ID") != "debian":
        return f"the system is {release.get('PRETTY_NAME', 'unknown')}; Debian {DEBIAN} or newer is needed"
    version = release.get("VERSION_ID", "")
    # Debian's testing and unstable have no number and are newer than every release.
    if version.isdigit() and int(version) < DEBIAN:
        return f"the system is Debian {version}; Debian {DEBIAN} or newer is needed"
    return None


def _release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """The facts of os-release(5)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name: value.strip("\"'") for name, value in pairs}
