"""A load of lists and gets on a server of `jvp serve`, for the test that it bears it and for the bench."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import libvirt
from tests.contract.rest_support import Rest

COUNT, CALLERS, CREATES = 200, 8, 50
"""Objects on the node, callers at once, and objects that are made at once."""
_DOMAIN = "<domain type='qemu'><name>served{0}</name><memory>32768</memory><os><type>hvm</type></os></domain>"


@contextmanager
def domains(uri: str) -> Iterator[None]:
    """So many stopped ones; the daemon may be another one at the end."""
    with closing(libvirt.open(uri)) as connection:
        for number in range(COUNT):
            connection.defineXML(_DOMAIN.format(number))
    try:
        yield
    finally:
        with closing(libvirt.open(uri)) as connection:
            for number in range(COUNT):
                connection.lookupByName(f"served{number}").undefine()


def asked(rest: Rest, count: int, rate: float | None = None, halfway: Callable[[], None] | None = None) -> Counter[str]:
    """Lists and gets in turn, `rate` for each second or as quick as they are answered: how often each answer came.

    `halfway` is called in between, while they go on.
    """
    answers, lock, begin = Counter[str](), threading.Lock(), time.monotonic()

    def ask(number: int) -> None:
        if rate is not None:
            time.sleep(max(0.0, begin + number / rate - time.monotonic()))
        path = "instances?limit=10" if number % 2 else f"instances/served{number % COUNT}"
        answer = rest.ask("GET", path)
        with lock:
            answers["200" if answer.status_code == 200 else answer.text] += 1

    with ThreadPoolExecutor(CALLERS + 1) as pool:
        waits = []
        for number in range(count):
            if halfway is not None and number == count // 2:
                waits.append(pool.submit(halfway))
            waits.append(pool.submit(ask, number))
        for one in waits:
            one.result()
    return answers


def made_at_once(rest: Rest, folder: Path, count: int = CREATES) -> None:
    """Volumes of a pool that is made for them, and removed with them. Raises AssertionError for one that is refused."""
    paths = [f"volumes/served/v{number}" for number in range(count)]
    rest.done("PUT", "storage-pools/served", {"path": str(folder / "served")})
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda path: rest.done("PUT", path, {"size": "1MiB"}), paths))
        list(pool.map(lambda path: rest.done("DELETE", path), paths))
    rest.done("DELETE", "storage-pools/served")


def resident_mib(rest: Rest) -> float:
    """The server's memory."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{rest.process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def cpu_s(rest: Rest) -> float:
    """What the server has computed so far."""
    fields = Path(f"/proc/{rest.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
