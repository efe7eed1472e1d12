"""What a list of networks can be asked for, and what it tells of each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jvp.core.listing import Filters, Item


class NetworkFilters(Filters):
    """Which networks to list."""

    state: Annotated[
        Literal["active", "inactive"] | None, Field(description="Only those that run, or only those that do not.")
    ] = None
    mode: Annotated[
        str | None, Field(description="Only those of this mode: nat, route, open, isolated, bridge, macvtap, hostdev.")
    ] = None

    @property
    def looks(self) -> bool:
        return super().looks or self.mode is not None


class NetworkItem(Item):
    """A network in a list."""

    state: Annotated[str | None, Field(description="Whether it runs: active or inactive.")] = None
    mode: Annotated[
        str | None, Field(description="With details: nat, route, isolated, bridge, macvtap, hostdev, or another's.")
    ] = None
    cidr: Annotated[str | None, Field(description="With details: its IPv4 range, else that of IPv6.")] = None
    bridge: Annotated[str | None, Field(description="With details: the bridge interface on the node.")] = None
