"""What JVP is to reach. An aim is a ratio: to the peer that raced, else to what the peer took when the aim was set.

Seconds of another machine say nothing here. So an aim in seconds is stretched by the pace: what the engine alone takes
here, beside what it took there; for what libvirt itself takes long for, by what the floor takes here and there.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench.contestants import NOBODY
from bench.results import FLOOR, Results
from bench.works import MANY

ENGINE_THERE = {"tofu": 0.06, "pulumi": 1.32}
"""Seconds of `up` with nothing to do where the aims were set; OpenTofu's from beside Pulumi's on another machine."""
NETWORKS_THERE = 1.76
"""And of libvirt alone for 30 networks."""
OFF = "down, off before"


@dataclass(frozen=True)
class Aim:
    """`of_peer`: this part of the peer's time. `seconds`: on the machine where the aims were set."""

    of_peer: float | None = None
    seconds: float | None = None


def _of_peer(*pairs: tuple[str, float, float]) -> dict[str, Aim]:
    """By verb: the part of the peer's time, and that time there."""
    return {verb: Aim(part, part * there) for verb, part, there in pairs}


TIMES: dict[tuple[str, str], dict[str, Aim]] = {
    ("tofu", "stack"): _of_peer(("up", 0.45, 2.82), ("plan", 0.35, 1.45), ("refresh", 0.35, 1.61))
    # The peer cuts the power itself: with the guest on its time was the same.
    | _of_peer((OFF, 0.5, 2.60)),
    ("pulumi", "stack"): _of_peer(("up", 0.75, 2.51), ("plan", 0.85, 1.26), ("refresh", 0.90, 1.36), (OFF, 0.9, 1.52)),
    ("tofu", "volumes10"): _of_peer(
        ("up", 0.7, 0.62), ("plan", 0.7, 0.42), ("refresh", 0.7, 0.45), ("down", 0.7, 0.57)
    ),
    ("pulumi", "volumes10"): _of_peer(
        ("up", 0.9, 1.85), ("plan", 0.9, 1.19), ("refresh", 0.9, 1.36), ("down", 0.9, 0.67)
    ),
    ("tofu", "networks30"): {"up": Aim(seconds=2.3), "refresh": Aim(seconds=0.6)},
}
FURTHER = {
    "tofu": {"up": 0.005, "plan": 0.0015, "refresh": 0.003, "down": 0.005},
    "pulumi": {"up": 0.009, "plan": 0.004, "refresh": 0.004, "down": 0.007},
}
"""Seconds of each further volume."""
CPU = {"up": Aim(0.4 / 2.35, 0.4), "refresh": Aim(0.3 / 1.44, 0.3)}
"""Processor time of the provider, for the stack under OpenTofu."""
IMAGE_S = {"image": 0.2, "image300": 0.5}
"""More than the engine alone."""
LEASE_S = 0.2
HANDSHAKE_S = {"warm": 0.030, "cold": 0.100}
PLUGIN_MIB, WARM_MIB = 40, 70


def pace(results: Results, engine: str, work: str = "") -> float:
    """How many times longer the engine alone takes here than where the aims were set: in a work's turns, or in all."""
    here = [results.median(engine, NOBODY, one, "up") for one in results.works() if work in ("", one)]
    known = [one for one in here if one]
    return statistics.median(known) / ENGINE_THERE[engine] if known else 1.0


def time_of(results: Results, engine: str, work: str, verb: str, peer: str | None = None) -> float | None:
    """Seconds that JVP may take for it here; of this peer, where it raced. None where there is no aim."""
    if work in IMAGE_S:
        alone = results.median(engine, NOBODY, work, "up")
        return None if alone is None or verb != "up" else alone + IMAGE_S[work] * pace(results, engine, work)
    if work == "lease":
        return LEASE_S * pace(results, engine, work)
    return _seconds(results, engine, TIMES.get((engine, work), {}).get(verb), peer, work, verb)


def _seconds(results: Results, engine: str, aim: Aim | None, peer: str | None, work: str, verb: str) -> float | None:
    if aim is None or aim.seconds is None:
        return None
    if peer is not None and aim.of_peer is not None:
        theirs = results.median(engine, peer, work, verb)
        if theirs is not None:
            return aim.of_peer * theirs
    floor = results.median("", FLOOR, work, verb) if (work, verb) == ("networks30", "up") else None
    return aim.seconds * (floor / NETWORKS_THERE if floor else pace(results, engine, work))


def further(results: Results, engine: str, verb: str) -> float:
    """Seconds of each further volume."""
    return FURTHER[engine][verb] * pace(results, engine, f"volumes{MANY}")


def handshake(results: Results, engine: str, start: str) -> float:
    """Seconds from the start to the handshake; `start` is warm or cold."""
    return HANDSHAKE_S[start] * pace(results, engine)


def cpu(results: Results, verb: str, peer: str | None = None) -> float | None:
    """Seconds of the provider's processor time, for the stack under OpenTofu. No load of the machine stretches them."""
    aim = CPU.get(verb)
    if aim is None or aim.seconds is None:
        return None
    theirs = results.median("tofu", peer, "stack", verb, of=lambda sample: sample.cpu) if peer else None
    if theirs and aim.of_peer:
        return aim.of_peer * theirs
    return aim.seconds
