"""Where things lie, and the few helpers that every step shares."""

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
ENGINES = TOOLS / "bin"
BUILD = ROOT / "build"


class SetupError(Exception):
    """Something that the user has to put right; the message says what and how."""


@dataclass(frozen=True)
class Step:
    """One step of the setup. ``run`` returns what the line on the screen says, ``obstacle`` what would keep it."""

    name: str
    run: Callable[[], str]
    obstacle: Callable[[], str | None] | None = None


def run(
    argv: Sequence[str | Path],
    *,
    why: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 1800,
) -> str:
    """Run a command to its end and return its output. Raises SetupError with the end of what it printed."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=dict(os.environ if env is None else env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise SetupError(f"{why}: {words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{why}: no end after {timeout_s:.0f} s: {' '.join(words)}") from error
    if done.returncode:
        raise SetupError(f"{why}: exit code {done.returncode}\n  {' '.join(words)}\n{tail(done.stdout + done.stderr)}")
    return done.stdout


def tail(text: str, lines: int = 25) -> str:
    """The last lines of a command's output, indented below the message that they explain."""
    return "\n".join("    " + line for line in text.rstrip().splitlines()[-lines:])


def digest(paths: Iterable[Path], *extra: str) -> str:
    """A hash of the files' names and contents (a folder: all that is in it) and of some strings."""
    total = hashlib.sha256()
    for path in sorted(file for given in paths for file in _files(given)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(ROOT)}\0{content}\0".encode())
    for text in extra:
        total.update(f"{text}\0".encode())
    return total.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    elif path.exists():
        yield path


class Stamp:
    """A file that says from which inputs something was made, so that making it again can be left out."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key

    def matches(self) -> bool:
        """Whether the last completed run had the same inputs."""
        try:
            return self.path.read_text(encoding="ascii").strip() == self.key
        except (FileNotFoundError, UnicodeDecodeError):
            return False

    def clear(self) -> None:
        """Before work starts: what is interrupted must not look complete."""
        self.path.unlink(missing_ok=True)

    def write(self) -> None:
        """After work is done."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self.key + "\n", encoding="ascii")


@contextmanager
def alone(announce: Callable[[], None]) -> Iterator[None]:
    """Keep two setups of one checkout from working at the same time; the second waits and says so."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            announce()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
