"""The properties of a machine's processor and of its clock, beside the number of CPUs and `cpuMode`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from jvp.core.facts import Changes, Effect, Same, Unit
from jvp.core.model import Rule, Spec
from jvp.core.types import shortened
from jvp.core.values import known
from jvp.resources.instance.cloudinit import repeated

Policy = Literal["require", "disable", "force", "optional", "forbid"]
HUGE_PAGES = ("64KiB", "2MiB", "32MiB", "512MiB", "1GiB", "16GiB")
_CPU_MAX = 1023
"""libvirt's masks of CPUs are not longer. Source: VIR_DOMAIN_CPUMASK_LEN."""
Part = Annotated[int, Field(ge=1, le=512)]


def _zone(text: str) -> str:
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is not a time zone; it looks like "Europe/Berlin"')
    return text


def cpus_in(text: str) -> str | None:
    """A set of CPUs as libvirt writes it: 0-3,^1 is 0,2-3. None for what is no set, and for an empty one."""
    found = set[int]()
    for one in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\^?)(\d{1,4})(?:-(\d{1,4}))?", one, re.ASCII)
        if match is None or (match[1] and match[3]):
            return None
        first, last = int(match[2]), int(match[3] or match[2])
        if not first <= last <= _CPU_MAX:
            return None
        found = found - {first} if match[1] else found | set(range(first, last + 1))
    runs = list[list[int]]()
    for number in sorted(found):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs) or None


def _cpuset(text: str) -> str:
    if cpus_in(text) is None:
        raise ValueError(f'"{shortened(text)}" is not a set of CPUs from 0 to {_CPU_MAX}; it looks like "0-3,^1"')
    return text


class MemoryBacking(Spec):
    """What the guest's memory is made of."""

    huge_pages: Annotated[
        Literal["64KiB", "2MiB", "32MiB", "512MiB", "1GiB", "16GiB"] | None,
        Field(description="Huge pages of this size, which the node has to have set aside."),
    ] = None
    shared: Annotated[
        bool, Field(description="Whether processes of the node see it, as shared folders (virtiofs) need it.")
    ] = False
    locked: Annotated[bool, Field(description="Whether the node never swaps it out.")] = False


class CpuTopology(Spec):
    """How the CPUs are laid out. Parts that are left out are 1."""

    sockets: Annotated[Part, Field(description="Sockets.")] = 1
    dies: Annotated[Part, Field(description="Dies of each socket.")] = 1
    cores: Annotated[Part, Field(description="Cores of each die.")] = 1
    threads: Annotated[Part, Field(description="Threads of each core.")] = 1


class Cpu(Spec):
    """What the guest's CPU has, beside the model that `cpuMode` names."""

    features: Annotated[
        dict[str, Policy] | None,
        Field(
            description="Features by libvirt's names, each require, disable, force, optional or forbid: all that "
            "differ from the model. With {vmx: require} or {svm: require} the guest runs guests of its own, where "
            "the node does nested virtualization."
        ),
    ] = None
    topology: Annotated[
        CpuTopology | None,
        Field(description="Sockets, dies, cores and threads: multiplied as many as maxCpus, or cpus without it."),
    ] = None


class ClockTimer(Spec):
    """A timer of the machine."""

    name: Annotated[
        Literal["rtc", "pit", "hpet", "hypervclock", "kvmclock", "tsc"], Field(description="libvirt's name of it.")
    ]
    present: Annotated[bool | None, Field(description="Whether the guest has it; by default as QEMU does.")] = None
    tickpolicy: Annotated[
        Literal["delay", "catchup", "merge", "discard"] | None,
        Field(description="What becomes of ticks that the guest missed; by default as QEMU does."),
    ] = None


class Clock(Spec):
    """The machine's clock."""

    offset: Annotated[
        Literal["utc", "localtime", "timezone"],
        Field(description="What it shows at first: UTC, the node's local time, which Windows expects, or timezone."),
    ] = "utc"
    timezone: Annotated[
        Annotated[str, AfterValidator(_zone)] | None,
        Field(description="The time zone, like Europe/Berlin, where the offset is timezone."),
    ] = None
    timers: Annotated[list[ClockTimer], Field(description="Its timers, where they are not as QEMU has them.")] = []


class Processor(Spec):
    """How a machine computes, and what it tells the time by."""

    cpu: Annotated[
        Cpu | None,
        Changes(Effect.NEXT_BOOT),
        Field(description="Features and layout of the CPU; its mode or model is `cpuMode`."),
    ] = None
    cpuset: Annotated[
        Annotated[str, AfterValidator(_cpuset), Same(cpus_in), Unit("set of CPUs like 0-3,^1")] | None,
        Changes(Effect.NEXT_BOOT),
        Field(description="The node's CPUs that the guest runs on; by default all of them."),
    ] = None
    memory_backing: Annotated[
        MemoryBacking | None,
        Changes(Effect.NEXT_BOOT),
        Field(description="What the memory is made of; by default ordinary pages of its own."),
    ] = None
    clock: Annotated[
        Clock | None, Changes(Effect.NEXT_BOOT), Field(description="The machine's clock; by default UTC.")
    ] = None


def processor_rules(spec: Processor, cpus: Any, max_cpus: Any) -> Iterator[Rule]:
    """What is wrong with them; `cpus` and `max_cpus` are how many CPUs are declared."""
    if isinstance(spec.cpu, Cpu):
        for name in spec.cpu.features if isinstance(spec.cpu.features, dict) else ():
            if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name, re.ASCII) is None:
                yield (
                    ("cpu", "features", name),
                    f'"{shortened(name)}" is not a feature of a CPU; it looks like "vmx" or "ssse3"',
                )
        yield from _layout(spec.cpu.topology, cpus, max_cpus)
    if isinstance(spec.clock, Clock):
        yield from _clock_rules(spec.clock)


def _layout(topology: CpuTopology | None, cpus: Any, max_cpus: Any) -> Iterator[Rule]:
    if not isinstance(topology, CpuTopology) or not known(cpus, max_cpus):
        return
    parts = {name: getattr(topology, name) for name in ("sockets", "dies", "cores", "threads")}
    if not known(*parts.values()):
        return
    named, room = ("maxCpus", max_cpus) if max_cpus is not None else ("cpus", cpus)
    if (there := math.prod(parts.values())) != room:
        shape = " by ".join(f"{count} {name}" for name, count in parts.items())
        yield ("cpu", "topology"), f"makes {there} CPUs ({shape}), and {named} is {room}: the two have to be the same"


def _clock_rules(clock: Clock) -> Iterator[Rule]:
    if known(clock.offset, clock.timezone):
        if clock.offset == "timezone" and clock.timezone is None:
            yield ("clock", "timezone"), 'is required where offset is "timezone"'
        if clock.offset != "timezone" and clock.timezone is not None:
            yield ("clock", "timezone"), f'means nothing where offset is "{clock.offset}"; it has to be "timezone"'
    yield from repeated(("clock", "timers"), clock.timers, "name")
    for index, timer in enumerate(clock.timers if isinstance(clock.timers, list) else ()):
        if isinstance(timer, ClockTimer) and timer.present is None and timer.tickpolicy is None:
            yield ("clock", "timers", index), "says nothing: it needs present or tickpolicy"
