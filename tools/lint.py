"""All linters, each named, none skipped because an earlier one complained."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[1]

# Commands of the virtual environment; "python" among them is the interpreter that runs this.
# The lanes run side by side; what shares a cache is in one lane.
LANES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        ("mypy", "--strict"),
        ("mypy", "--strict", "-p", "tools", "-p", "tests.lab.micro"),
    ),
    (
        ("ruff", "check", "--quiet", "."),
        ("ruff", "format", "--check", "--quiet", "."),
        ("lint-imports", "--no-logo"),
        ("python", "-m", "tools.lengths"),
        ("python", "-m", "tools.handles"),
        ("python", "-m", "tools.gen_sdk", "--check"),
        ("python", "-m", "tools.gen_docs", "--check"),
        ("python", "-m", "tools.descriptors", "--check"),
        ("python", "-m", "tools.gen_schemas", "--check"),
    ),
)


def main() -> int:
    """Exit with 1 if any linter has something to say."""
    with ThreadPoolExecutor(len(LANES)) as pool:
        passed = list(pool.map(lambda lane: [_passes(linter) for linter in lane], LANES))
    return 0 if all(map(all, passed)) else 1


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
    line = f"{'ok ' if passed else 'BAD'} {said:<70} {time.monotonic() - start:6.1f} s\n"
    # One piece, so that the lanes' lines do not mix.
    print(line if passed else f"{line}{done.stdout}{done.stderr}\n", end="", flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
