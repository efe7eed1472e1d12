"""The tables of docs/performance.md from what a race found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import aims
from bench.contestants import JVP, NOBODY
from bench.results import FLOOR, PROCESS, Of, Results, plus, ratio, seconds
from bench.sample import Sample
from bench.works import label

NAMES = {"tofu": "OpenTofu", "pulumi": "Pulumi"}
BEGIN, END = "<!-- race: begin -->", "<!-- race: end -->"
Table = tuple[list[str], list[list[str]]]


def cpu(sample: Sample) -> float:
    return sample.cpu


def peers(results: Results, engine: str) -> list[str]:
    return [one for one in results.labels(engine) if one not in (JVP, NOBODY)]


def engines(results: Results) -> list[str]:
    return [engine for engine in NAMES if JVP in results.labels(engine)]


def works(results: Results) -> list[str]:
    """Without the provider's process alone, which is none."""
    return [work for work in results.works() if work != PROCESS]


def verbs(results: Results, engine: str, work: str) -> list[str]:
    """In their order; `allocated` is no time."""
    found = [key[3] for key in results.samples if key[:3] == (engine, JVP, work) and key[3] != "allocated"]
    return list(dict.fromkeys(found))


def text(results: Results, machine: str) -> str:
    """All tables, in Markdown."""
    parts = [machine]
    for engine in engines(results):
        parts += [f"### {NAMES[engine]}", markdown(times(results, engine)), markdown(costs(results, engine))]
    if failed := list(failures(results)):
        parts += ["\n".join(f"- {line}" for line in failed)]
    return "\n\n".join(parts) + "\n"


def times(results: Results, engine: str) -> Table:
    """Wall-clock time of every command, and of each further volume."""
    others = peers(results, engine)
    head = ["work", "JVP", *others, *(f"JVP ÷ {one}" for one in others), "aim", "engine alone", "libvirt alone",
            "JVP ÷ both"]  # fmt: skip
    lines = []
    for work in works(results):
        for verb in verbs(results, engine, work):
            lines.append(_line(results, engine, work, verb, others))
        lines += _allocated(results, engine, work, others)
    lines += [_further(results, engine, verb, others) for verb in ("up", "plan", "refresh", "down")]
    return head, [line for line in lines if line[1]]


def _line(results: Results, engine: str, work: str, verb: str, others: Sequence[str]) -> list[str]:
    ours = results.median(engine, JVP, work, verb)
    theirs = [results.median(engine, one, work, verb) for one in others]
    waits = work == "lease"
    engine_verb = verb.partition(",")[0]
    alone = None if waits else results.median(engine, NOBODY, work, engine_verb)
    floor = results.median("", FLOOR, work, engine_verb)
    aim = aims.time_of(results, engine, work, verb, others[0] if others else None)
    both = None if waits else ratio(ours, plus(alone, floor))
    cells = [s(ours), *map(s, theirs), *(x(ratio(ours, one)) for one in theirs), s(aim), s(alone), s(floor), x(both)]
    return [f"{label(work)}: {verb}", *cells]


def _allocated(results: Results, engine: str, work: str, others: Sequence[str]) -> list[list[str]]:
    """What an image takes in the pool."""
    found = [results.median(engine, one, work, "allocated") for one in (JVP, *others)]
    if not any(found):
        return []
    floor = results.median("", FLOOR, work, "allocated")
    ratios = [x(ratio(found[0], one)) for one in found[1:]]
    name = f"{label(work)}: in the pool"
    return [[name, *map(mib, found), *ratios, "", "", mib(floor), x(ratio(found[0], floor))]]


def _further(results: Results, engine: str, verb: str, others: Sequence[str]) -> list[str]:
    ours, *theirs = (results.further(engine, one, verb) for one in (JVP, *others))
    floor = results.further("", FLOOR, verb)
    cells = [ms(ours), *map(ms, theirs), *(x(ratio(ours, one)) for one in theirs)]
    return [f"each further volume: {verb}", *cells, ms(aims.further(results, engine, verb)), "", ms(floor),
            x(ratio(ours, floor))]  # fmt: skip


def costs(results: Results, engine: str) -> Table:
    """Processor time and launches of every command; then the provider's start and memory."""
    others = peers(results, engine)
    head = ["provider's processes", "JVP", *others, *(f"JVP ÷ {one}" for one in others), "aim"]
    lines = []
    for work in works(results):
        for verb in verbs(results, engine, work):
            if work != "lease":
                aim = None
                if (engine, work) == ("tofu", "stack"):
                    aim = aims.cpu(results, verb, others[0] if others else None)
                lines.append(_compared(results, engine, f"{label(work)}: {verb}, processor time", work, verb, cpu,
                                       s(aim)))  # fmt: skip
    lines += [_launches(results, engine, verb, others) for verb in ("up", "plan", "refresh", "down")]
    for name in aims.HANDSHAKE_S:
        aim = aims.handshake(results, engine, name)
        lines.append(_compared(results, engine, f"start to handshake, {name}", PROCESS, name, seconds, ms(aim)))
    lines += _memory(results, engine, others)
    return head, [line for line in lines if line[1]]


def _compared(results: Results, engine: str, name: str, work: str, verb: str, of: Of, aim: str) -> list[str]:
    others = peers(results, engine)
    ours, *theirs = (results.median(engine, one, work, verb, of) for one in (JVP, *others))
    show = ms if work == PROCESS else s
    return [name, show(ours), *map(show, theirs), *(x(ratio(ours, one)) for one in theirs), aim]


def _launches(results: Results, engine: str, verb: str, others: Sequence[str]) -> list[str]:
    found = [results.median(engine, one, "stack", verb, lambda one: one.launches) for one in (JVP, *others)]
    return [f"stack: {verb}, starts of the provider", *(f"{one:.0f}" if one else "" for one in found),
            *("" for _ in others), ""]  # fmt: skip


def _memory(results: Results, engine: str, others: Sequence[str]) -> Iterator[list[str]]:
    def line(name: str, of: Of, aim: str) -> list[str]:
        ours, *theirs = (results.peak(engine, one, of) for one in (JVP, *others))
        return [name, mib(ours), *map(mib, theirs), *(x(ratio(ours, one)) for one in theirs), aim]

    yield line("memory of one process beyond what is shared (USS)", lambda one: one.memory, mib(aims.PLUGIN_MIB))
    yield line("memory of one process with its part of that (PSS)", lambda one: one.shared, "")
    held = results.median(engine, JVP, PROCESS, "held", lambda one: one.shared)
    yield ["memory of the warm process (PSS)", mib(held), *("" for _ in others), *("" for _ in others),
           mib(aims.WARM_MIB)]  # fmt: skip


def failures(results: Results) -> Iterator[str]:
    """A sentence for each work that somebody did not do."""
    for (engine, who, work), why in results.failures.items():
        yield f"{who} under {NAMES[engine]} fails at {label(work)}: {why}"


def s(found: float | None) -> str:
    if found is None:
        return ""
    return f"{found:.2f} s" if found >= 0.1 else ms(found)


def ms(found: float | None) -> str:
    return "" if found is None else f"{found * 1000:.3g} ms"


def x(found: float | None) -> str:
    return "" if found is None else f"{found:.2f}"


def mib(found: float | None) -> str:
    return "" if found is None else f"{found:.0f} MiB"


def markdown(table: Table) -> str:
    """With its columns below each other, and the numbers at the right."""
    head, lines = table
    widths = [max(len(line[column]) for line in (head, *lines)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return "| " + " | ".join([first, *(one.strip().rjust(len(one)) for one in rest)]) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if n else "-") for n, width in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, lines)])


def write(file: Path, found: str) -> None:
    """Put the tables between their marks in a page. Raises ValueError where it has none."""
    page = file.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"{file} has no lines {BEGIN} and {END}")
    file.write_text(pattern.sub(lambda _: f"{BEGIN}\n{found}{END}", page), encoding="utf-8")
