"""Runs the tests: in two processes side by side, or with arguments for pytest in one. `make test` starts it.

Most of a run waits: for guests, engines, daemons. What the second lane says comes after what the first one says.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lxml import etree

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
PYTEST = (sys.executable, "-m", "pytest", "-ra", "--durations=10")
FIRST = ("tests/unit", "tests/doors", "tests/contract", "tests/lab")
"""The folders of the first lane. All others are the second's, so that none is left out."""
LANES = ((*PYTEST, *FIRST), (*PYTEST, *(f"--ignore={folder}" for folder in FIRST)))
POLL_S = 0.2


def main(arguments: Sequence[str]) -> int:
    """The command: the exit code is that of the first lane that failed."""
    BUILD.mkdir(exist_ok=True)
    if arguments:
        os.execv(sys.executable, [*PYTEST, f"--junitxml={BUILD / 'tests.xml'}", *arguments])
    codes = side_by_side(LANES, BUILD)
    for number, code in enumerate(codes, 1):
        print(f"lane {number}: {f'FAILED, exit code {code}' if code else 'ok'}")
    return next((code for code in codes if code), 0)


def side_by_side(commands: Sequence[Sequence[str]], build: Path) -> list[int]:
    """Run them at once; their exit codes. The first one writes here, what each other one wrote follows it."""
    logs = [build / f"lane{number}.log" for number in range(1, len(commands) + 1)]
    reports = [log.with_suffix(".xml") for log in logs]
    for path in (build / "tests.xml", *reports):
        path.unlink(missing_ok=True)
    running: list[subprocess.Popen[bytes]] = []

    def terminate(*_: object) -> None:
        for process in running:
            process.terminate()

    # A terminal sends its Ctrl-C to the lanes too. They tidy up then, and are waited for.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, terminate)
    for command, log, report in zip(commands, logs, reports, strict=True):
        words = [*command, f"--junitxml={report}", f"--color={'yes' if sys.stdout.isatty() else 'no'}"]
        with log.open("wb") as output:
            into = output if running else None
            running.append(subprocess.Popen(words, stdout=into, stderr=into))
    for process, log in zip(running, logs, strict=True):
        for some in following(log, process):
            sys.stdout.buffer.write(some)
            sys.stdout.flush()
    merge(reports, build / "tests.xml")
    return [process.returncode for process in running]


def following(log: Path, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """What the file holds, and what is written to it until the process has ended."""
    with log.open("rb") as source:
        while True:
            ended = process.poll() is not None
            if some := source.read():
                yield some
            elif ended:
                return
            else:
                time.sleep(POLL_S)


def merge(reports: Sequence[Path], into: Path) -> None:
    """Make one report of those that there are; a lane that was killed has none, or a part of one."""
    whole = etree.Element("testsuites")
    for path in reports:
        if path.exists():
            with contextlib.suppress(etree.XMLSyntaxError):
                whole.extend(etree.parse(path).getroot())
    into.write_bytes(etree.tostring(whole, xml_declaration=True, encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
