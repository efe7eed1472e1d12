"""What a card on a bridge or an interface of the node is besides its place, in the XML of its device.

What a program does not say of these stays as it is; what it has taken out goes. A card on a network has all of it from
the network, which libvirt shows on the running card.
"""

from __future__ import annotations

from typing import Any

from jvp.core.diff import Change, Kind
from jvp.libvirt.link.xml import Element, drop, put, value
from jvp.libvirt.network import vlans
from jvp.resources.instance.nic_model import Nic

_USUAL = "bridge"
"""How a card is on an interface that says nothing else."""


def told(device: Element) -> dict[str, Any]:
    """The properties that a card has; what it has not is left out."""
    kind = device.get("type")
    if kind not in ("bridge", "direct"):
        return {}
    vlan, trunk = vlans.read(device)
    mode = value(device, "source/@mode") if kind == "direct" else None
    port = value(device, "virtualport/@type") if kind == "bridge" else None
    found = {"device_mode": mode, "virtual_port": port, "vlan": vlan, "trunk": trunk}
    return {name: one for name, one in found.items() if one}


def facts(device: Element) -> list[Any]:
    """What of them a card of before had not: digests of its facts stand in the marks of older guests."""
    return [(name, str(one)) for name, one in told(device).items() if (name, one) != ("device_mode", _USUAL)]


def write(device: Element, nic: Nic) -> None:
    """Write what is declared."""
    if nic.device is not None:
        put(device, "source/@mode", nic.device_mode or value(device, "source/@mode") or _USUAL)
    if nic.virtual_port is not None:
        put(device, "virtualport/@type", nic.virtual_port)
    if nic.vlan is not None or nic.trunk:
        vlan, trunk = vlans.read(device)
        vlans.write(device, nic.vlan if nic.vlan is not None else vlan, nic.trunk or trunk)


def take_out(device: Element, change: Change, name: str, nic: Nic) -> None:
    """Take out what the program says no longer of a card."""
    if name == "virtualPort" and change.kind is Kind.DELETE:
        drop(device, "virtualport")
    if name in ("vlan", "trunk"):
        vlans.write(device, nic.vlan, nic.trunk)
