"""How long a list of all instances takes, beside libvirt's own call for all of them, and `jvp` beside `virsh`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt

from bench.table import Row, timed
from jvp.core.work import Work
from jvp.libvirt.link import events
from jvp.resources.provider import Provider
from jvp.resources.registry import calls

COUNT, TIMES = 1000, 5
_DOMAIN = "<domain type='qemu'><name>listed{0}</name><memory>32768</memory><os><type>hvm</type></os></domain>"


def rows(uri: str) -> Iterator[Row]:
    """Over domains that are made for it and taken away again. Our own time is to be no more than libvirt's."""
    events.start_loop()
    connection = libvirt.open(uri)
    made = [connection.defineXML(_DOMAIN.format(number)) for number in range(COUNT)]
    try:
        ours = calls(Provider(uri=uri))
        floor = _best(lambda: connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)) * 1000
        value = _best(lambda: ours.invoke("getInstances", {}, Work())) * 1000
        yield Row(f"list of {COUNT} instances", value, "ms", 2 * floor, floor, "libvirt's call for all of them")
        jvp, variables = Path(sys.executable).with_name("jvp"), {**os.environ, "JVP_URI": uri, "JVP_OUTPUT": "table"}
        floor = _best(lambda: _run("virsh", "-c", uri, "list", "--all", env=variables))
        for name, words in (("names", ("-o", "name")), ("table", ())):
            value = _best(lambda words=words: _run(str(jvp), "instance", "list", *words, env=variables))  # type: ignore[misc]
            yield Row(f"jvp instance list, {COUNT} instances, {name}", value, "s", None, floor, "virsh list --all")
    finally:
        for domain in made:
            domain.undefine()
        connection.close()


def _best(call: Callable[[], Any]) -> float:
    """Seconds of the quickest of several, after one that warms up."""
    call()
    return min(timed(call) for _ in range(TIMES))


def _run(*words: str, env: dict[str, str]) -> None:
    subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL, timeout=60)
