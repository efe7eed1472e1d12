"""What a network limits its cards to is no drift of a card; what somebody limits one to is."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import libvirt
import pytest
from tests.unit.resources.test_instance_xml import ours, spec_of

from jvp.libvirt.domain import devices
from jvp.libvirt.link.xml import parse, sub, text_of
from jvp.resources.instance import upkeep
from jvp.resources.instance.definition import comparable

GROUP = "<bandwidth>\n  <inbound average='1000' peak='5000'/>\n</bandwidth>"
OTHER = "<bandwidth><inbound average='1000'/></bandwidth>"
NETWORK = f"""<network><name>lan</name>
<portgroup name='fast'><bandwidth><outbound average='9'/></bandwidth></portgroup>
<portgroup name='slow' default='yes'>{GROUP}</portgroup></network>"""


class NoNetwork(libvirt.libvirtError):
    def __init__(self) -> None:
        pass

    def get_error_code(self) -> int:
        return int(libvirt.VIR_ERR_NO_NETWORK)

    def get_error_domain(self) -> int:
        return int(libvirt.VIR_FROM_NETWORK)


def running(root: Any, limits: str, network: str | None = NETWORK, group: str | None = None) -> Any:
    """The domain as libvirt shows it while it runs, with these limits of its card."""
    live = copy.deepcopy(root)
    live.set("id", "7")
    card = live.find("devices/interface")
    card.append(parse(limits))
    if group is not None:
        card.find("source").set("portgroup", group)

    def lookup(_: str) -> Any:
        if network is None:
            raise NoNetwork
        return SimpleNamespace(XMLDesc=lambda _: network)

    connection = SimpleNamespace(networkLookupByName=lookup)
    return SimpleNamespace(XMLDesc=lambda _: text_of(live), connect=lambda: connection)


@pytest.fixture
def root() -> Any:
    return ours(spec_of({"name": "web", "template": "t", "nics": [{"name": "eth0", "network": "lan"}]}))


@pytest.mark.parametrize(
    ("limits", "group"), [(GROUP, None), ("<bandwidth><outbound average='9'/></bandwidth>", "fast")]
)
def test_those_of_the_port_group_are_no_fault_of_a_card(root: Any, limits: str, group: str | None) -> None:
    live = devices.live_xml(running(root, limits, group=group))
    assert upkeep.mend(live, upkeep.Places()) == []
    assert comparable(live) == comparable(root)


@pytest.mark.parametrize(
    ("limits", "network", "group"),
    [(OTHER, NETWORK, None), (GROUP, NETWORK, "fast"), (GROUP, NETWORK, "gone"), (GROUP, "<network/>", None),
     (GROUP, None, None)],
)  # fmt: skip
def test_others_are_told(root: Any, limits: str, network: str | None, group: str | None) -> None:
    live = devices.live_xml(running(root, limits, network, group))
    assert [fault.what for fault in upkeep.mend(live, upkeep.Places())] == ["somebody limits its bandwidth"]


def test_a_definition_that_does_not_run_says_its_own(root: Any) -> None:
    sub(sub(root.find("devices/interface"), "bandwidth"), "inbound", average="1000", peak="5000")
    domain = SimpleNamespace(XMLDesc=lambda _: text_of(root))
    assert devices.live_xml(domain).find("devices/interface/bandwidth") is not None
