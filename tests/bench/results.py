"""What a race found: samples by who, what and which command; medians of them, and what further objects cost."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from bench.sample import Sample
from bench.works import FEW, MANY

FLOOR = "floor"
"""Libvirt alone, in the place of a contestant."""
PROCESS = "process"
"""In the place of a work: the provider's process without an engine."""
Of = Callable[[Sample], float]


def seconds(sample: Sample) -> float:
    return sample.seconds


@dataclass
class Results:
    """Samples by engine, contestant's label, work and verb. The floor belongs to no engine: its engine is empty."""

    samples: dict[tuple[str, str, str, str], list[Sample]] = field(default_factory=dict)
    failures: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """Why a contestant did not do a work: the first line of what its command said."""

    def note(self, engine: str, label: str, work: str, verb: str, sample: Sample) -> None:
        self.samples.setdefault((engine, label, work, verb), []).append(sample)

    def median(self, engine: str, label: str, work: str, verb: str, of: Of = seconds) -> float | None:
        """None where nothing was measured, or where it failed in one of the runs."""
        if (engine, label, work) in self.failures:
            return None
        found = self.samples.get((engine, label, work, verb))
        return statistics.median(map(of, found)) if found else None

    def further(self, engine: str, label: str, verb: str) -> float | None:
        """Seconds that each further volume costs."""
        few, many = (self.median(engine, label, f"volumes{count}", verb) for count in (FEW, MANY))
        return None if few is None or many is None else (many - few) / (MANY - FEW)

    def peak(self, engine: str, label: str, of: Of) -> float | None:
        """The most that any of a contestant's commands showed; its process alone is none."""
        commands = [key for key in self.samples if key[:2] == (engine, label) and key[2] != PROCESS]
        found = [of(one) for key in commands for one in self.samples[key]]
        return max(found, default=None)

    def json(self) -> str:
        """All of it, for programs."""
        fields = ("engine", "who", "work", "verb")
        found = [
            {**dict(zip(fields, key, strict=True)), **asdict(sample)}
            for key, samples in self.samples.items()
            for sample in samples
        ]
        failed = [{**dict(zip(fields, key, strict=False)), "why": why} for key, why in self.failures.items()]
        return json.dumps({"samples": found, "failures": failed}, indent=1) + "\n"

    def labels(self, engine: str) -> list[str]:
        """Who raced under this engine, in the order of their first starts."""
        return list(dict.fromkeys(key[1] for key in (*self.samples, *self.failures) if key[0] == engine))

    def works(self) -> list[str]:
        """What was raced, in its order."""
        return list(dict.fromkeys(key[2] for key in (*self.samples, *self.failures)))


def ratio(value: float | None, base: float | None) -> float | None:
    """How many times the base; None where one of them is not known, or the base is nothing."""
    return None if value is None or not base else value / base


def plus(*values: float | None) -> float | None:
    """A sum, in which what is not known counts nothing; None where nothing is known."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
