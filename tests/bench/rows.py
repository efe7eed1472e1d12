"""The rows of `make bench`, from a race of JVP against the engine and the floor alone."""

from __future__ import annotations

from collections.abc import Iterator

from bench import aims, report
from bench.contestants import JVP, NOBODY
from bench.results import FLOOR, PROCESS, Results, plus
from bench.table import Row
from bench.works import label


def all_of(results: Results) -> Iterator[Row]:
    """Every row whose work was measured."""
    for engine in report.engines(results):
        for work in report.works(results):
            for verb in report.verbs(results, engine, work):
                yield from _time(results, engine, work, verb)
            yield from _allocated(results, engine, work)
        yield from _further(results, engine)
        yield from _process(results, engine)


def failures(results: Results) -> Iterator[str]:
    return report.failures(results)


def _time(results: Results, engine: str, work: str, verb: str) -> Iterator[Row]:
    value = results.median(engine, JVP, work, verb)
    if value is None:
        return
    engine_verb = verb.partition(",")[0]
    alone = None if work == "lease" else results.median(engine, NOBODY, work, engine_verb)
    floor = results.median("", FLOOR, work, engine_verb)
    parts = [f"{what} {report.s(took)}" for what, took in (("engine alone", alone), ("libvirt alone", floor)) if took]
    name = f"{engine}: {label(work)}, {verb}"
    aim = aims.time_of(results, engine, work, verb)
    starts = results.median(engine, JVP, work, verb, lambda one: one.launches)
    note = f"{starts:.0f} starts" if starts else ""
    yield Row(name, value, "s", aim, plus(alone, floor), ", ".join(parts), note)
    spent = results.median(engine, JVP, work, verb, report.cpu)
    if work == "stack" and spent:
        aim = aims.cpu(results, verb) if engine == "tofu" else None
        yield Row(f"{name}: processor time", spent, "s", aim)


def _allocated(results: Results, engine: str, work: str) -> Iterator[Row]:
    value = results.median(engine, JVP, work, "allocated")
    floor = results.median("", FLOOR, work, "allocated")
    if value is not None and floor is not None:
        yield Row(f"{engine}: {label(work)}, in the pool", value, "MiB", floor + 1, floor, "virsh vol-upload --sparse")


def _further(results: Results, engine: str) -> Iterator[Row]:
    for verb in ("up", "plan", "refresh", "down"):
        value = results.further(engine, JVP, verb)
        if value is not None:
            floor = results.further("", FLOOR, verb)
            aim = aims.further(results, engine, verb) * 1000
            floor_ms = floor * 1000 if floor else None
            yield Row(f"{engine}: each further volume, {verb}", value * 1000, "ms", aim, floor_ms, "libvirt alone")


def _process(results: Results, engine: str) -> Iterator[Row]:
    """The provider's start and its memory."""
    imports = results.median("", FLOOR, PROCESS, "import grpc")
    for start in aims.HANDSHAKE_S:
        value = results.median(engine, JVP, PROCESS, start)
        if value is not None:
            aim, floor = aims.handshake(results, engine, start) * 1000, imports * 1000 if imports else None
            yield Row(f"{engine}: start to handshake, {start}", value * 1000, "ms", aim, floor, "import grpc alone")
    uss = results.peak(engine, JVP, lambda one: one.memory)
    if uss:
        yield Row(f"{engine}: memory of one process beyond what is shared", uss, "MiB", aims.PLUGIN_MIB)
    held = results.median(engine, JVP, PROCESS, "held", lambda one: one.shared)
    if held:
        yield Row(f"{engine}: memory of the warm process", held, "MiB", aims.WARM_MIB)
