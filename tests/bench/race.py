"""`python -m bench.race`, or `make race`: JVP, and every other provider that is named, over the same objects."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import engines, report, works
from bench.contestants import VARIABLES, Contestant, racers
from bench.racing import hear_signals, node, race
from hosts import daemon

RUNS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    hear_signals()
    parsed = options().parse_args(arguments)
    wanted = parsed.only or works.RACED
    try:
        contestants = present(parsed.engines)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if why := daemon.missing() or (None if contestants else "there is no engine"):
        print(f"no race here: {why}", file=sys.stderr)
        return 2
    start = time.monotonic()
    with node(wanted) as (host, folder):
        results = race(contestants, wanted, parsed.runs, host, folder)
    found = report.text(results, machine(parsed.runs, contestants))
    print(f"\n{found}\n{time.monotonic() - start:.0f} s")
    if parsed.json:
        parsed.json.write_text(results.json())
    if parsed.write:
        report.write(parsed.write, found)
    return 0


def options() -> argparse.ArgumentParser:
    """Of `make race ARGS='…'`."""
    parser = argparse.ArgumentParser(prog="make race ARGS=…", description="Race JVP against other providers.")
    parser.add_argument(
        "--only", action="append", type=_work, metavar="WORK",
        help=f"more than once for more of {', '.join(works.RACED)}; volumesN and networksN take any number below 250",
    )  # fmt: skip
    parser.add_argument("--runs", type=_count, default=RUNS, help=f"how often: {RUNS} unless said")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all samples, for programs")
    parser.add_argument(
        "--engines", action="append", choices=list(VARIABLES), help="under this engine; both unless said"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this page, between its marks")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of runs")
    return int(text)


def _work(text: str) -> str:
    try:
        works.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def present(wanted: Sequence[str] | None) -> list[Contestant]:
    """Who can race here; says what is missing. Raises ValueError."""
    found = []
    for engine, variable in VARIABLES.items():
        if wanted and engine not in wanted:
            continue
        if why := engines.missing(engine):
            print(f"no race under {report.NAMES[engine]}: {why}")
            continue
        those = racers(os.environ, engine)
        if len(those) == 2:
            print(f"no peer under {report.NAMES[engine]}: set {variable} to the path of a provider's program.")
        found += those
    return found


def machine(runs: int, contestants: Sequence[Contestant]) -> str:
    """When and where this was measured."""
    names = {Path(one.command[0]).name for one in contestants if not one.ours and not one.alone}
    peers = f"Peers: {', '.join(sorted(names))}." if names else "No peer raced."
    load = os.getloadavg()[0]
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Linux {platform.release()}, load {load:.1f} at the end; "
        f"medians of {runs}, interleaved. {peers}"
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: all that was made is gone")
