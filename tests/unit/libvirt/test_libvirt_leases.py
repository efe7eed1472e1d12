"""Which leases of a network's list are a guest's: those inside of what the network is now."""

from __future__ import annotations

from typing import Any

import libvirt
import pytest

from jvp.libvirt.domain.guest import Lease, leases, leases_of, set_aside, set_leases_aside
from jvp.libvirt.link.ranges import ranges_of
from jvp.libvirt.link.xml import Element, parse, text_of

MAC = "52:54:00:00:00:01"


class Network:
    """A connection that knows one network, and that network."""

    def __init__(self, xml: str, *addresses: str) -> None:
        self.xml, self.expiries = xml, dict.fromkeys(addresses, 9)

    def networkLookupByName(self, name: str) -> Network:
        return self

    def DHCPLeases(self, mac: str) -> list[dict[str, Any]]:
        return [{"ipaddr": address, "expirytime": end, "mac": mac} for address, end in self.expiries.items()]

    def isActive(self) -> bool:
        return True

    def XMLDesc(self, flags: int) -> str:
        return self.xml


def test_a_lease_of_the_range_that_the_network_had_before_does_not_count() -> None:
    xml = (
        "<network><ip address='10.74.212.1' prefix='24'/><ip family='ipv6' address='fd00:5::1' prefix='64'/></network>"
    )
    found = leases_of(Network(xml, "10.112.5.14", "10.74.212.14", "fd00:5::9", "fd00:6::9"), "lan", MAC)
    assert found == [Lease(MAC, "10.74.212.14", 9), Lease(MAC, "fd00:5::9", 9)]


class Domain:
    """A guest that runs, on that one network."""

    def __init__(self, network: Network, root: Element) -> None:
        self.network, self.root = network, root

    def connect(self) -> Network:
        return self.network

    def isActive(self) -> bool:
        return True

    def XMLDesc(self, flags: int) -> str:
        return text_of(self.root)


def test_a_lease_of_an_earlier_life_counts_once_it_is_renewed() -> None:
    card = f"<interface type='network'><mac address='{MAC.upper()}'/><source network='lan'/></interface>"
    root = parse(f"<domain><devices>{card}</devices></domain>")
    net = Network("<network><ip address='10.1.2.1' prefix='24'/></network>")
    net.expiries = {"10.1.2.3": 50, "10.1.2.4": 0}
    set_leases_aside(net, root)
    domain = Domain(net, root)
    assert leases(domain) == [Lease(MAC, "10.1.2.4", 0)]  # it has no end that would tell whether it was renewed
    assert set_aside(root) == [Lease(MAC, "10.1.2.3", 50)]
    net.expiries["10.1.2.3"] = 51
    assert leases(domain) == [Lease(MAC, "10.1.2.3", 51), Lease(MAC, "10.1.2.4", 0)]
    net.expiries.clear()
    set_leases_aside(net, root)
    assert set_aside(root) == []


class Unanswered:
    """A connection that fails every look-up."""

    def __init__(self, code: int) -> None:
        self.code = code

    def networkLookupByName(self, name: str) -> Network:
        made = libvirt.libvirtError("no")
        made.err = (self.code, 0, "no", 0, None, None, None, 0, 0)
        raise made


def test_only_a_network_that_is_gone_has_no_leases() -> None:
    assert leases_of(Unanswered(libvirt.VIR_ERR_NO_NETWORK), "lan", MAC) == []
    with pytest.raises(libvirt.libvirtError):
        leases_of(Unanswered(libvirt.VIR_ERR_RPC), "lan", MAC)


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ("address='10.1.2.1' prefix='24'", "10.1.2.0/24"),
        ("address='10.1.2.1' netmask='255.255.0.0'", "10.1.0.0/16"),
        ("address='10.1.2.1'", "10.0.0.0/8"),
        ("address='172.16.2.1'", "172.16.0.0/16"),
        ("address='192.168.2.1'", "192.168.2.0/24"),
        ("address='fd00::1' family='ipv6'", "fd00::/64"),
    ],
)
def test_the_range_of_an_address(attributes: str, wanted: str) -> None:
    assert [str(one) for one in ranges_of(parse(f"<network><ip {attributes}/></network>"))] == [wanted]
