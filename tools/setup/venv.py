"""Step ``venv``: the virtual environment with the package (editable), its SDK and developers' tools."""

import os
import platform
import subprocess
import sys

from tools.setup.project import BUILD, ROOT, VENV, SetupError, Stamp, digest, run

PYTHON = VENV / "bin" / "python"
CONSTRAINTS = ROOT / "constraints.txt"
PROJECT = ROOT / "pyproject.toml"


def venv() -> str:
    """Make or complete ``.venv``; where it is complete, only what was changed in our own code is compiled."""
    if not PROJECT.exists():
        raise SetupError("pyproject.toml is missing: is this the project's folder?")
    libvirt = _libvirt_version()
    key = digest([PROJECT, CONSTRAINTS], platform.python_version(), libvirt)
    stamp = Stamp(VENV / "setup.stamp", key)
    if stamp.matches() and PYTHON.exists():
        _compile()
        return f".venv is up to date, Python {platform.python_version()}"
    stamp.clear()
    if not _works():
        run([sys.executable, "-m", "venv", "--clear", VENV], why="could not make the virtual environment")
    _install(libvirt)
    _compile()
    stamp.write()
    return f".venv with Python {_version()}, libvirt-python for libvirt {libvirt}"


def _libvirt_version() -> str:
    return run(["pkg-config", "--modversion", "libvirt"], why="could not ask for libvirt's version").strip()


def _works() -> bool:
    """Whether there is a virtual environment whose Python still starts (its base may have been removed)."""
    if not PYTHON.exists():
        return False
    command = [str(PYTHON), "-c", "import pip"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _version() -> str:
    return run([PYTHON, "-c", "import platform; print(platform.python_version())"], why="python").strip()


def _install(libvirt: str) -> None:
    # libvirt-python is compiled against the installed library, and releases of both go together: the
    # newest one that is not newer than the library knows no symbol that the library lacks.
    limit = BUILD / "libvirt-constraint.txt"
    limit.parent.mkdir(exist_ok=True)
    limit.write_text(f"libvirt-python<={libvirt}\n", encoding="ascii")
    constraints = ["-c", str(limit)]
    if CONSTRAINTS.exists():
        constraints += ["-c", str(CONSTRAINTS)]
    run(
        [PYTHON, "-m", "pip", "install", "-q", "--no-input", *constraints, "-e", f"{ROOT}[dev,serve]"],
        why="could not install the Python packages",
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"},
    )


def _compile() -> None:
    # Also where PYTHONDONTWRITEBYTECODE is set: otherwise each start of the plugin would compile all of it.
    run([PYTHON, "-m", "compileall", "-q", ROOT / "provider", ROOT / "sdk"], why="could not compile the code")
