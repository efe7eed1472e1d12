"""What `jvp serve` takes for a request beside libvirt's own call, how many it answers, and whether its memory grows."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import libvirt
from tests.contract.rest_support import Rest, server

from bench.table import Row, timed
from bench.works import Host
from hosts import load

TIMES, CHANGES, FEW = 5, 30, 400
RATE, SECONDS = 200, 10
"""Requests for each second."""


def rows(host: Host, folder: Path) -> Iterator[Row]:
    """Over domains that are made for it and taken away again."""
    count = load.COUNT
    with (
        load.domains(host.uri),
        tempfile.TemporaryDirectory() as place,
        server(Path(place), "--uri", host.uri) as rest,
        closing(libvirt.open(host.uri)) as connection,
    ):
        floor = _best(lambda: connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)) * 1000
        value = _best(lambda: _got(rest, "instances")) * 1000
        yield Row(f"GET of {count} instances", value, "ms", None, floor, "libvirt's call for all of them")
        floor = _best(lambda: connection.lookupByName("served7").XMLDesc(0)) * 1000
        value = _best(lambda: _got(rest, "instances/served7")) * 1000
        yield Row("GET of one instance", value, "ms", None, floor, "libvirt's calls for its XML")
        yield _creates(rest, folder)
        yield _noted(rest, host.uri)
        yield from _load(rest, host)


def _load(rest: Rest, host: Host) -> Iterator[Row]:
    """Lists and gets in turn, while libvirtd restarts once."""
    load.asked(rest, FEW)
    before, computed, count = load.resident_mib(rest), load.cpu_s(rest), RATE * SECONDS
    answers = load.asked(rest, count, RATE, halfway=host.restart)
    yield Row(f"failed of {count} lists and gets", count - answers["200"], "", 0, note="libvirtd restarts meanwhile")
    yield Row("the server's CPU for each", (load.cpu_s(rest) - computed) / count * 1000, "ms", 1000 / RATE)
    yield Row("memory of the server after them", load.resident_mib(rest), "MiB", 1.1 * before, before, "before them")


def _creates(rest: Rest, folder: Path) -> Row:
    took = timed(lambda: load.made_at_once(rest, folder))
    one = timed(lambda: load.made_at_once(rest, folder, 1))
    return Row(f"{load.CREATES} volumes made at once, and removed", took, "s", None, load.CREATES * one, "one by one")


def _noted(rest: Rest, uri: str) -> Row:
    """A small change, whose operation the index notes at its begin and its end."""

    def change(rest: Rest) -> float:
        rest.done("PUT", "networks/served", {"mode": "isolated", "autostart": False})
        flags = itertools.cycle((True, False))
        took = _best(lambda: rest.done("PATCH", "networks/served", {"autostart": next(flags)}), CHANGES)
        rest.done("DELETE", "networks/served")
        return took * 1000

    with tempfile.TemporaryDirectory() as place, server(Path(place), "--uri", uri, "--index", "none") as without:
        floor = change(without)
    return Row("a change with an index", change(rest), "ms", None, floor, "without one")


def _got(rest: Rest, path: str) -> Any:
    answer = rest.ask("GET", path)
    assert answer.status_code == 200, answer.text
    return answer


def _best(call: Callable[[], Any], times: int = TIMES) -> float:
    call()
    return min(timed(call) for _ in range(times))
