"""What `jvp serve` takes for a request beside libvirt's own call, how many it answers, and whether its memory grows."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import libvirt
from tests.contract.rest_support import Rest, server

from bench.table import Row, timed

COUNT, TIMES = 200, 5
RATE, SECONDS, CALLERS = 200, 10, 8
"""Requests for each second, of so many callers at once."""
CREATES = 50
_DOMAIN = "<domain type='qemu'><name>served{0}</name><memory>32768</memory><os><type>hvm</type></os></domain>"


def rows(uri: str, folder: Path) -> Iterator[Row]:
    """Over domains that are made for it and taken away again."""
    connection = libvirt.open(uri)
    made = [connection.defineXML(_DOMAIN.format(number)) for number in range(COUNT)]
    try:
        with tempfile.TemporaryDirectory() as place, server(Path(place), "--uri", uri) as rest:
            floor = _best(lambda: connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)) * 1000
            value = _best(lambda: _got(rest, "instances")) * 1000
            yield Row(f"GET of {COUNT} instances", value, "ms", None, floor, "libvirt's call for all of them")
            floor = _best(lambda: connection.lookupByName("served7").XMLDesc(0)) * 1000
            value = _best(lambda: _got(rest, "instances/served7")) * 1000
            yield Row("GET of one instance", value, "ms", None, floor, "libvirt's calls for its XML")
            yield from _load(rest)
            yield _creates(rest, folder)
    finally:
        for domain in made:
            domain.undefine()
        connection.close()


def _load(rest: Rest) -> Iterator[Row]:
    """Lists and gets in turn."""
    paths = ["instances?limit=10" if number % 2 else f"instances/served{number % COUNT}" for number in range(RATE)]

    def a_second() -> None:
        with ThreadPoolExecutor(CALLERS) as pool:
            for _ in pool.map(lambda path: _got(rest, path), paths):
                pass

    a_second()
    before = _resident(rest)
    took = sum(timed(a_second) for _ in range(SECONDS))
    yield Row(f"{RATE * SECONDS} lists and gets", took, "s", SECONDS, SECONDS, f"{RATE} for each second")
    yield Row("memory of the server after them", _resident(rest), "MiB", 1.1 * before, before, "before them")


def _creates(rest: Rest, folder: Path) -> Row:
    rest.done("PUT", "storage-pools/served", {"path": str(folder / "served")})
    paths = [f"volumes/served/v{number}" for number in range(CREATES)]

    def all_at_once() -> None:
        with ThreadPoolExecutor(CREATES) as pool:
            for _ in pool.map(lambda path: rest.done("PUT", path, {"size": "1MiB"}), paths):
                pass

    took = timed(all_at_once)
    one = timed(lambda: rest.done("PUT", "volumes/served/one", {"size": "1MiB"}))
    for path in (*paths, "volumes/served/one", "storage-pools/served"):
        rest.done("DELETE", path)
    return Row(f"{CREATES} volumes made at once", took, "s", None, CREATES * one, "one after the other")


def _got(rest: Rest, path: str) -> Any:
    answer = rest.ask("GET", path)
    assert answer.status_code == 200, answer.text
    return answer


def _best(call: Callable[[], Any]) -> float:
    call()
    return min(timed(call) for _ in range(TIMES))


def _resident(rest: Rest) -> float:
    """MiB of memory."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{rest.process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
