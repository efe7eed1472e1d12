"""The runs: every contestant does every work in turn, then all of it again."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import handshake, works
from bench.contestants import Contestant
from bench.engines import Engine, start
from bench.floor import Floor, connect
from bench.programs import Objects
from bench.results import FLOOR, PROCESS, Results
from bench.sample import Failed, Sample
from bench.table import timed
from bench.works import Host
from hosts.daemon import SystemHost
from hosts.engine import ROOT

GUEST = ROOT / "build/guest"
STARTS = 9
FIRST_NET = 200
"""10.200.0.0/16 is the first contestant's own; the daemon has a network namespace of its own."""


@contextlib.contextmanager
def node(wanted: Sequence[str]) -> Iterator[tuple[Host, Path]]:
    """A daemon of the race's own, and a folder for all that it needs."""
    folder = Path("/var/tmp") / f"jvpt{os.getpid():x}{secrets.token_hex(2)}"
    folder.mkdir(mode=0o755)
    with contextlib.ExitStack() as ends:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        host = ends.enter_context(contextlib.closing(SystemHost(folder / "node", f"{folder.name}-bench")))
        connection = ends.enter_context(contextlib.closing(connect(host.uri)))
        images = {
            one: works.make_image(folder / f"{one}.raw", *works.IMAGES[one]) for one in wanted if one in works.IMAGES
        }
        boot = (GUEST / "vmlinux", GUEST / "initrd")
        there = boot if all(path.exists() for path in boot) else None
        yield Host(host.uri, connection, host.pools, images, there, host.daemon.restart), folder


def race(contestants: Sequence[Contestant], wanted: Sequence[str], runs: int, host: Host, folder: Path) -> Results:
    """Interleaved, so that what slows the machine for a while slows everybody."""
    results = Results()
    racers = [start(one, folder / f"{one.engine}{number}", host.uri) for number, one in enumerate(contestants)]
    try:
        for run in range(runs):
            print(f"run {run + 1} of {runs}", flush=True)
            for work in wanted:
                _floor(work, host, results)
                # Nobody is always the first, who finds the caches of another work.
                for turn in range(len(racers)):
                    number = (turn + run) % len(racers)
                    _one(racers[number], number, work, host, results)
        _processes(racers, results)
    finally:
        for racer in racers:
            handshake.stop(racer)
    return results


def hear_signals() -> None:
    """As a shell's foreground job: else engines wait 5 s for what they end, and hand on another surrounding than ours.

    JVP's warm process belongs to its surrounding, ignored signals and all.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def _processes(racers: Sequence[Engine], results: Results) -> None:
    """The providers' processes alone, and what a start in Python cannot go below."""
    imports = min(timed(handshake.import_grpc) for _ in range(STARTS))
    results.note("", FLOOR, PROCESS, "import grpc", Sample(imports))
    for racer in racers:
        if not racer.contestant.alone:
            try:
                _process(racer, results)
            except Failed as error:
                results.failures[racer.contestant.engine, racer.contestant.label, PROCESS] = str(error)


def _process(racer: Engine, results: Results) -> None:
    """The provider's process alone: how soon it answers, plainly and from a warm process, whose memory is `held`."""
    contestant = racer.contestant

    def note(verb: str, sample: Sample) -> None:
        results.note(contestant.engine, contestant.label, PROCESS, verb, sample)

    if contestant.ours:
        handshake.wait_for_warm(racer)
    for _ in range(STARTS):
        note("cold", handshake.measure(contestant, handshake.cold(racer.environment)))
        if contestant.ours and not handshake.is_cold(racer.environment):
            note("warm", handshake.measure(contestant, racer.environment))
    if contestant.ours and not handshake.is_cold(racer.environment):
        note("held", handshake.held(racer))


def _one(racer: Engine, number: int, work: str, host: Host, results: Results) -> None:
    """One contestant's cycle. Who fails once is out of this work."""
    contestant = racer.contestant
    key = (contestant.engine, contestant.label, work)

    def note(verb: str, sample: Sample) -> None:
        results.note(*key, verb, sample)

    if contestant.alone:
        works.nothing(racer, note)
        return
    if key in results.failures:
        return
    if contestant.provider == "jvp":
        handshake.wait_for_warm(racer)
    objects = Objects(f"race{number}", FIRST_NET + number, host.pools)
    try:
        works.run(work, racer, objects, host, note)
    except Failed as error:
        why = first_error(str(error))
        results.failures[key] = why
        print(f"  {contestant.engine} {contestant.label} {work}: {why}", flush=True)
        with contextlib.suppress(Failed):
            racer.run("down")
        works.sweep(host.connection, objects.prefix)


def first_error(said: str) -> str:
    """The line of an engine's output that tells what is wrong, else the last one."""
    lines = [line.strip(" │╷╵\t") for line in said.splitlines()]
    lines = [line for line in lines if line]
    return next((line for line in lines if line.lower().startswith("error")), lines[-1] if lines else "no word")


def _floor(work: str, host: Host, results: Results) -> None:
    """The same by plain calls."""
    found = Floor(host.connection, host.pools / "floor").work(work, host.uri, host.images.get(work))
    for verb, seconds in found.items():
        results.note("", FLOOR, work, verb, Sample(seconds))
