"""`python -m bench [GROUP ...]`: JVP beside the engine alone and libvirt alone; all rows, or those of these groups."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from bench import disks, engines, lists, rows, serving, uploading, works
from bench.contestants import NOBODY, VARIABLES, ours
from bench.racing import hear_signals, node, race
from bench.report import NAMES
from bench.table import save, show
from hosts import daemon
from hosts.engine import ROOT

RUNS = 3
GROUPS = {
    "plugin": (), "stack": ("stack",), "volumes": (f"volumes{works.FEW}", f"volumes{works.MANY}"),
    "networks": (f"networks{works.NETWORKS}",), "images": tuple(works.IMAGES), "address": ("lease",), "lists": (),
    "rest": (), "disks": (),
}  # fmt: skip
"""Works by the words that ask for them. The provider's process is always measured."""


def main() -> int:
    hear_signals()
    asked = sys.argv[1:] or list(GROUPS)
    if unknown := set(asked) - set(GROUPS):
        print(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    if why := daemon.missing():
        print(f"nothing is measured here: {why}", file=sys.stderr)
        return 2
    contestants = []
    for engine in VARIABLES:
        if why := engines.missing(engine):
            print(f"the rows of {NAMES[engine]} are left out: {why}")
        else:
            contestants += [ours(engine), replace(ours(engine), label=NOBODY)]
    start = time.monotonic()
    wanted = [work for group in GROUPS if group in asked for work in GROUPS[group]]
    with node(wanted) as (host, folder):
        results = race(contestants, wanted, RUNS, host, folder)
        listed = list(lists.rows(host.uri)) if "lists" in asked else []
        served = [*serving.rows(host, folder), *uploading.rows(host, folder)] if "rest" in asked else []
        whole = list(disks.rows(host, folder)) if "disks" in asked else []
    found = [*rows.all_of(results), *listed, *served, *whole]
    print()
    show(found)
    for failure in rows.failures(results):
        print(failure)
    save(found, ROOT / "build/bench.json")
    aimed = [row for row in found if row.aim is not None]
    good, took = sum(row.holds for row in aimed), time.monotonic() - start
    print(f"\n{good} of {len(aimed)} aims hold; {took:.0f} s; build/bench.json")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: all that was made is gone")
