"""All linters, each named, none skipped because an earlier one complained."""

import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[1]

# Commands of the virtual environment; "python" among them is the interpreter that runs this.
LINTERS: tuple[tuple[str, ...], ...] = (
    ("ruff", "check", "--quiet", "."),
    ("ruff", "format", "--check", "--quiet", "."),
    ("mypy", "--strict"),
    ("mypy", "--strict", "-p", "tools", "-p", "tests.lab.micro"),
    ("lint-imports", "--no-logo"),
    ("python", "-m", "tools.gen_sdk", "--check"),
)


def main() -> int:
    """Exit with 1 if any linter has something to say."""
    failed = [linter for linter in LINTERS if not _passes(linter)]
    return 1 if failed else 0


def _passes(linter: tuple[str, ...]) -> bool:
    start = time.monotonic()
    done = subprocess.run(
        [str(BIN / linter[0]), *linter[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    passed = done.returncode == 0
    said = " ".join(word for word in linter if word not in {"--quiet", "--no-logo"})
    print(f"{'ok ' if passed else 'BAD'} {said:<70} {time.monotonic() - start:6.1f} s", flush=True)
    if not passed:
        print(done.stdout + done.stderr, flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
