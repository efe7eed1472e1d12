"""A network that goes between the look at all of them and the decision is in nobody's way."""

from __future__ import annotations

from typing import Any

import pytest

from jvp.core.errors import Invalid, NameTaken
from jvp.core.outlook import Plans
from jvp.core.types import network_of
from jvp.core.work import Work
from jvp.libvirt.network.networks import Seen
from jvp.resources.network import collisions
from jvp.resources.network.model import Network

OTHER, OURS = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
SEEN = (Seen(OTHER, "lan", "nat", "br0", (network_of("192.168.90.0/24"),)),)


class Api:
    """Networks of which one was seen a moment ago."""

    def __init__(self, *, there: bool) -> None:
        self.node, self._there = self, there
        self.plans = Plans()

    def find(self, _: str) -> Any:
        return self if self._there else None

    def mark_of(self, _: object) -> None:
        return None


@pytest.mark.parametrize("there", [True, False])
def test_only_what_is_there_still_is_in_the_way(there: bool) -> None:
    api: Any = Api(there=there)
    spec = Network(name="lan", cidr="192.168.90.0/25", bridge="br0")
    refused = [
        (NameTaken, lambda: collisions.refuse_name(api, SEEN, "lan", OURS)),
        (Invalid, lambda: collisions.settle(Work(), api, SEEN, spec, OURS, None, "")),
        (Invalid, lambda: collisions.refuse(api, SEEN, spec, OURS, "")),
    ]
    for error, refuse in refused:
        if there:
            with pytest.raises(error):
                refuse()
        else:
            refuse()
