"""Which ports a network forwards, as its own mark keeps it: libvirt has no place for them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from jvp.libvirt.link import marks, told
from jvp.libvirt.link.ranges import ranges_of
from jvp.libvirt.link.xml import Element, value
from jvp.resources.network.forward_model import PortForward
from jvp.resources.network.ruleset import Ruleset

_FACT = "portForwards"
_NONE = "[]"
"""What stands there while the table of a network that has none any more is yet to go."""


def recorded(root: Element) -> list[PortForward]:
    """The forwards of a network, by its inactive definition."""
    kept = told.json_of(marks.facts_of(root).get(_FACT) or _NONE)
    found: list[PortForward] = []
    for item in kept if isinstance(kept, list) else ():
        try:
            found.append(PortForward.model_validate(item))
        except ValueError:
            continue
    return found


def has_table(root: Element) -> bool:
    """Whether a table of the network may be there."""
    return _FACT in marks.facts_of(root)


def is_going(root: Element) -> bool:
    """Whether the table is to go, and may not have gone."""
    return marks.facts_of(root).get(_FACT) == _NONE


def note(root: Element, forwards: Sequence[PortForward], *, had: bool) -> None:
    """Write the forwards into the mark of `root`; that there are none any more only where it `had` a table."""
    if forwards or had:
        marks.note_fact(root, _FACT, json.dumps([one.bag() for one in forwards], separators=(",", ":")))


def forget(root: Element) -> None:
    """Note that the table is gone, and a mark with it that says nothing else."""
    marks.set_fact(root, _FACT, "")
    if marks.is_empty(root):
        marks.drop(root)


def ruleset_of(root: Element) -> Ruleset:
    """The table of a network as it is to be, by its inactive definition."""
    uuid, bridge = (value(root, path) or "" for path in ("uuid", "bridge/@name"))
    # All of them, as in mode nat: somebody may have given it more than a program can declare.
    ranges = dict.fromkeys(str(net) for net in sorted(ranges_of(root), key=lambda net: net.version))
    return Ruleset(uuid, bridge, tuple(ranges), tuple(recorded(root)))
