"""What a list of firewalls can be asked for, and what it tells of each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jvp.core.listing import Filters, Item


class FirewallFilters(Filters):
    """Which firewalls to list."""


class FirewallItem(Item):
    """A firewall in a list. libvirt's own filters are listed, too."""

    inbound: Annotated[str | None, Field(description="With details: what becomes of other connections to guests.")] = (
        None
    )
    outbound: Annotated[str | None, Field(description="With details: what becomes of other connections of guests.")] = (
        None
    )
    rule_count: Annotated[int | None, Field(description="With details: how many rules it has.")] = None
