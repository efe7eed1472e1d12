"""`python -m bench [WORD ...]`: all rows, or those whose group is named (GROUPS)."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench import plugin
from bench.floor import connect
from bench.stacks import Bench
from bench.table import Row, save, show
from hosts import daemon, engine
from hosts.daemon import SystemHost

ROOT = Path(__file__).resolve().parents[2]
GROUPS = ("plugin", "stack", "volumes", "images", "address", "hcl")


def main() -> int:
    # Engines of a shell's background job would have it ignored, and wait 5 s for what they end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    wanted = sys.argv[1:] or GROUPS
    if unknown := set(wanted) - set(GROUPS):
        print(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    start = time.monotonic()
    rows: list[Row] = []
    for row in _rows(wanted):
        rows.append(row)
        print(f"  {row.name}: {row.value:.4g} {row.unit}", flush=True)
    print()
    show(rows)
    save(rows, ROOT / "build/bench.json")
    good, took = sum(row.holds for row in rows), time.monotonic() - start
    print(f"\n{good} of {len(rows)} aims hold; {took:.0f} s; build/bench.json")
    return 0


def _rows(wanted: Iterable[str]) -> Iterator[Row]:
    if "plugin" in wanted:
        yield from plugin.rows()
    if why := daemon.missing() or engine.missing():
        print(f"only the plugin is measured: {why}")
        return
    folder = Path("/var/tmp") / f"jvpt{os.getpid():x}{secrets.token_hex(2)}"
    folder.mkdir(mode=0o755)
    with contextlib.ExitStack() as ends:
        ends.callback(shutil.rmtree, folder)
        host = ends.enter_context(contextlib.closing(SystemHost(folder / "node", f"{folder.name}-bench")))
        connection = ends.enter_context(contextlib.closing(connect(host.uri)))
        bench = Bench(host, connection, folder)
        groups = {
            "stack": bench.one_stack, "volumes": bench.volumes, "images": bench.images, "address": bench.address,
            "hcl": bench.hcl,
        }  # fmt: skip
        for name, rows in groups.items():
            if name in wanted:
                yield from rows()


if __name__ == "__main__":
    sys.exit(main())
