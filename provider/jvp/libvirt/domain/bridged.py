"""Cards of running guests that are on no bridge: their network was stopped under them, or somebody unplugged them."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path

import libvirt

from jvp.libvirt.domain.devices import LIVE, plugged_again
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import Gone, is_gone
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, ensure, put, text_of, value

_INTERFACES = Path("/sys/class/net")


def cut_off(node: Node, root: Element) -> list[Element]:
    """The cards in a running definition that are not on the bridge of their network, which runs. Raises libvirtError.

    Source: virNetworkListAllPorts. The ports of a network end with it, and its next start makes none for guests that
    run. That a card was taken off the bridge by hand shows only in the kernel of this machine.
    """
    ports: dict[str, set[str] | None] = {}
    found = []
    for card in root.iterfind("devices/interface"):
        name, port = value(card, "source/@network"), value(card, "source/@portid")
        if name is None or port is None:
            continue
        if name not in ports:
            ports[name] = _ports(node, name)
        known = ports[name]
        if known is not None and (port not in known or (node.is_here and _is_free(card))):
            found.append(card)
    return found


def rejoin(domain: handles.Domain, card: Element) -> None:
    """Put a card of a running guest on its network's bridge again. Raises libvirtError.

    libvirt moves a card only where its source changes: so to the bridge by name, and back to the network (tried). The
    guest sees its cable pulled and plugged in, and asks for an address anew.
    """
    back = plugged_again(card)
    for place in card.findall("address"):
        back.append(copy.deepcopy(place))
    bridge = domain.connect().networkLookupByName(value(card, "source/@network") or "").bridgeName()
    source, state = ensure(back, "source"), value(back, "link/@state")
    direct = copy.deepcopy(back)
    direct.set("type", "bridge")
    ensure(direct, "source").attrib.clear()
    put(direct, "source/@bridge", bridge)
    assert source.get("network") is not None
    steps = [(direct, "down"), (back, "down"), (back, state or "up")]
    for element, link in steps:
        put(element, "link/@state", link)
        domain.updateDeviceFlags(text_of(element), LIVE)


def _ports(node: Node, name: str) -> set[str] | None:
    """The ports of a running network; None of one that does not run, or is gone."""
    try:
        network: handles.Network = node.connection.networkLookupByName(name)
        return {port.UUIDString() for port in network.listAllPorts()} if network.isActive() else None
    except libvirt.libvirtError as error:
        if is_gone(error, Gone.NETWORK) or error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
            return None
        raise


def _is_free(card: Element) -> bool:
    """Whether the card's interface is on this machine, and on no bridge."""
    tap, mac = value(card, "target/@dev"), (value(card, "mac/@address") or "").lower()
    with contextlib.suppress(OSError):
        place = _INTERFACES / (tap or "-")
        # The node's end has the guest's MAC but for the first byte: another daemon may have called one the same.
        same = (place / "address").read_text().strip()[2:] == mac[2:]
        return same and (place / "tun_flags").exists() and not (place / "master").exists()
    return False
