"""Who races: JVP through both engines, the engines alone, and what the user names in the environment.

    JVP_RACE_TERRAFORM    a program of a Terraform provider, e.g. /opt/peers/terraform-provider-libvirt; more with `:`
    JVP_RACE_PULUMI       a program of a Pulumi provider, e.g. /opt/peers/pulumi-resource-libvirt; more with `:`

A program's name tells whose words it understands: `terraform-provider-libvirt` those of dmacvicar/libvirt 0.9,
`pulumi-resource-libvirt` those of pulumi-libvirt 0.5, and `…-jvp` ours, so that an older JVP can be raced, too.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench import programs
from jvp.warm.launcher import SCRIPT

VARIABLES = {"tofu": "JVP_RACE_TERRAFORM", "pulumi": "JVP_RACE_PULUMI"}
PREFIXES = {"tofu": "terraform-provider-", "pulumi": "pulumi-resource-"}
DOORS = {"tofu": "terraform", "pulumi": "pulumi"}
WORDS = {("tofu", "libvirt"): programs.libvirt_09, ("pulumi", "libvirt"): programs.libvirt_08}
NOBODY = "nobody"
"""The engine alone, with nothing to do."""
JVP = "JVP"


@dataclass(frozen=True)
class Contestant:
    """A provider under an engine, or that engine alone."""

    label: str
    engine: str
    provider: str = "jvp"
    command: tuple[str, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether this is the JVP of this checkout."""
        return self.label == JVP

    @property
    def alone(self) -> bool:
        return self.label == NOBODY

    @property
    def launcher(self) -> str:
        """Its program's name."""
        return PREFIXES[self.engine] + self.provider

    @property
    def words(self) -> programs.Words:
        return programs.jvp if self.provider == "jvp" else WORDS[self.engine, self.provider]


def ours(engine: str) -> Contestant:
    """As `jvp pulumi install` and `jvp terraform install` have the engine start it."""
    return Contestant(JVP, engine, command=(sys.executable, "-IS", SCRIPT, DOORS[engine]))


def peers(environment: Mapping[str, str], engine: str) -> Iterator[Contestant]:
    """Those that the environment names for this engine. Raises ValueError with one sentence."""
    variable = VARIABLES[engine]
    given = [Path(one).absolute() for one in environment.get(variable, "").split(os.pathsep) if one]
    for number, path in enumerate(given, 1):
        provider = _provider(path, engine, variable)
        label = path.name.removeprefix(PREFIXES[engine])
        label = label if len(given) == 1 and provider != "jvp" else f"{label} ({number})"
        yield Contestant(label, engine, provider, (str(path),))


def _provider(path: Path, engine: str, variable: str) -> str:
    known = sorted({provider for its, provider in WORDS if its == engine} | {"jvp"})
    # A release's program has its version behind the name: terraform-provider-libvirt_v0.9.7.
    name = path.name.removeprefix(PREFIXES[engine])
    provider = next((one for one in known if name == one or name.startswith(f"{one}_")), None)
    if not path.name.startswith(PREFIXES[engine]) or provider is None:
        names = " or ".join(f"{PREFIXES[engine]}{one}" for one in known)
        raise ValueError(f"{variable}: {path.name} is no provider that the race has words for; it is named {names}")
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise ValueError(f"{variable}: {path} is no program")
    return provider


def racers(environment: Mapping[str, str], engine: str) -> list[Contestant]:
    """JVP, its peers, and the engine alone. Raises ValueError."""
    return [ours(engine), *peers(environment, engine), replace(ours(engine), label=NOBODY)]


def launcher_text(contestant: Contestant, starts: Path) -> str:
    """A launcher that writes down each process that becomes the provider."""
    return f'#!/bin/sh\necho $$ >>{shlex.quote(str(starts))}\nexec {shlex.join(contestant.command)} "$@"\n'
