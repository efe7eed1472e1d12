"""The processor and the clock of an instance, in its XML.

Of the CPU the inactive definition alone is asked: libvirt expands what a running one says of it.
"""

from __future__ import annotations

from typing import Any

from jvp.core.diff import Change, Kind
from jvp.core.errors import Rejected
from jvp.libvirt.link import told as words
from jvp.libvirt.link.xml import Element, drop, ensure, sub, value
from jvp.resources.instance.model import Instance, InstanceState
from jvp.resources.instance.processor_model import Clock, ClockTimer, Cpu, CpuTopology

CPU, CLOCK = "cpu", "clock"
FEATURES = (CPU, "features")
_PARTS = ("sockets", "dies", "cores", "threads")
_PLAIN = ("utc", None)
_YES_NO = {"yes": True, "no": False}


def features_of(root: Element) -> dict[str, str]:
    """The features that a definition names, with what it says of each."""
    return {one.get("name") or "": one.get("policy") or "require" for one in root.iterfind("cpu/feature")}


def cpu_seen(inactive: Element, prior: InstanceState | None) -> Cpu | None:
    """The property; None where neither the definition nor the program says anything of it."""
    there = inactive.find("cpu/topology")
    features: Any = features_of(inactive)
    topology = None
    if there is not None:
        parts: dict[str, Any] = {name: words.number(there.get(name)) or 1 for name in _PARTS}
        topology = CpuTopology.model_construct(**parts)
    before = prior.cpu if prior is not None else None
    if not features and topology is None and before is None:
        return None
    named = before.features if isinstance(before, Cpu) else None
    return Cpu.model_construct(features=features or (None if named is None else {}), topology=topology)


def write_cpu(root: Element, spec: Instance) -> None:
    """Write what is declared of the CPU. Raises Rejected for features of a CPU that nothing names.

    Before: the mode or model is written, which takes features out.
    """
    if not isinstance(spec.cpu, Cpu):
        return
    features, topology = spec.cpu.features, spec.cpu.topology
    if features is not None and features != features_of(root):
        if features and value(root, "cpu/@mode") is None and value(root, "cpu/model") is None:
            raise Rejected("are of no CPU that is named: set cpuMode, to maximum say", path=FEATURES)
        _drop_features(root)
        for name, policy in features.items():
            sub(ensure(root, "cpu"), "feature", policy=policy, name=name)
    if topology is not None:
        drop(root, "cpu/topology")
        sub(ensure(root, "cpu"), "topology", **{name: str(getattr(topology, name)) for name in _PARTS})


def _drop_features(root: Element) -> None:
    for one in root.findall("cpu/feature"):
        drop(root, f"cpu/feature[@name='{one.get('name')}']")


def _clock_of(root: Element) -> tuple[Any, ...]:
    """Offset, time zone and timers."""
    timers = sorted((one.get("name") or "", one.get("present") or "", one.get("tickpolicy") or "")
                    for one in root.iterfind("clock/timer"))  # fmt: skip
    return (value(root, "clock/@offset") or "utc", value(root, "clock/@timezone"), *timers)


def told(root: Element) -> dict[str, Any]:
    """What can differ between the running and the inactive definition. Older marks have no digest of a plain clock."""
    there = _clock_of(root)
    return {CLOCK: there} if there != _PLAIN else {}


def state_of(seen: dict[str, Any], prior: InstanceState | None) -> dict[str, Any]:
    """The clock, of what was seen of both definitions; None also for one that no program could declare."""
    there: Any = seen.get(CLOCK) or _PLAIN
    if (there == _PLAIN and (prior is None or prior.clock is None)) or there[0] not in ("utc", "localtime", "timezone"):
        return {CLOCK: None}
    timers = [
        ClockTimer.model_construct(name=name, present=_YES_NO.get(present), tickpolicy=policy or None)
        for name, present, policy in there[2:]
    ]
    return {CLOCK: Clock.model_construct(offset=there[0], timezone=there[1], timers=timers)}


def write(root: Element, spec: Instance) -> None:
    """Write the clock that is declared. The CPU follows its mode: `write_cpu`."""
    clock = spec.clock
    if not isinstance(clock, Clock):
        return
    wanted = {timer.name: _timer(timer) for timer in clock.timers}
    named = sorted((name, one.get("present") or "", one.get("tickpolicy") or "") for name, one in wanted.items())
    if _clock_of(root) == (clock.offset, clock.timezone, *named):
        return
    drop(root, CLOCK)
    element = sub(root, CLOCK, offset=clock.offset, timezone=clock.timezone)
    for name, attributes in wanted.items():
        sub(element, "timer", name=name, **attributes)


def _timer(timer: ClockTimer) -> dict[str, str | None]:
    present = {None: None, True: "yes", False: "no"}[timer.present]
    return {"present": present, "tickpolicy": timer.tickpolicy}


def take_out(root: Element, change: Change) -> None:
    """Take out what the program says no longer."""
    if change.kind is not Kind.DELETE:
        return
    if change.path == (CLOCK,):
        drop(root, CLOCK)
    if change.path in ((CPU,), FEATURES):
        _drop_features(root)
    if change.path in ((CPU,), (CPU, "topology")):
        drop(root, "cpu/topology")
