"""How networks and cards are on a wire: VLANs, and macvtap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from jvp.core.errors import Path
from jvp.core.values import known, surely

DeviceMode = Literal["bridge", "vepa", "private", "passthrough"]
"""How what is on an interface of the node by macvtap reaches the rest. Source: linux/if_link.h."""
Vlan = Annotated[int, Field(ge=1, le=4094)]


def trunk_rules(vlan: Any, trunk: Any, *, open_vswitch: bool) -> Iterator[tuple[Path, str]]:
    """What is wrong with a trunk beside a VLAN: where, and the sentence."""
    if not surely(trunk):
        return
    if not open_vswitch:
        yield ("trunk",), "is for a bridge of Open vSwitch: virtualPort: openvswitch"
    seen: set[int] = set()
    for index, one in enumerate(trunk if isinstance(trunk, list) else ()):
        if not known(one):
            continue
        if one in seen:
            yield ("trunk", index), f"{one} is given twice"
        elif known(vlan) and one == vlan:
            yield ("trunk", index), f"{one} is the vlan already, whose frames have no tag"
        seen.add(one)
