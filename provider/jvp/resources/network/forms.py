"""The forms of a network: with a bridge of its own, on a bridge or an interface of the node, or of virtual functions.

Which properties it has follows from its mode.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from jvp.core.model import FieldFacts, Rule
from jvp.core.text import shortened
from jvp.core.values import known, surely
from jvp.core.wires import trunk_rules

Mode = Literal["nat", "route", "open", "isolated", "bridge", "macvtap", "hostdev"]
BRIDGE, MACVTAP, HOSTDEV = "bridge", "macvtap", "hostdev"
OF_THE_NODE = (BRIDGE, MACVTAP, HOSTDEV)
"""The modes of a network that libvirt makes no bridge for."""
_PLACE = {BRIDGE: "the node's bridge", MACVTAP: "the wire", HOSTDEV: "the wire"}


class OwnBridge:
    """A fact of a property that a network has only where libvirt makes its bridge, and not on what the node has."""


class OfModes:
    """A fact of a property that a network has in these modes alone."""

    def __init__(self, *modes: str) -> None:
        self.modes = modes


class Needs:
    """A fact of a property that is of use only beside one of these."""

    def __init__(self, *names: str) -> None:
        self.names = names


def is_for(field: FieldFacts, mode: str) -> bool:
    """Whether a network in this mode can have the property."""
    only = field.fact(OfModes)
    if only is not None:
        return mode in only.modes
    return field.fact(OwnBridge) is None or mode not in OF_THE_NODE


def _pci(text: str) -> str:
    if re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is not a PCI address; it looks like "0000:03:10.1"')
    return text


PciAddress = Annotated[str, AfterValidator(_pci)]


def form_rules(net: Any, every: Mapping[str, FieldFacts]) -> Iterator[Rule]:
    """What of a network's properties its mode has no use for, and what it cannot do without."""
    if not known(net.mode):
        return
    for name, field in every.items():
        if not surely(getattr(net, name)) or is_for(field, net.mode):
            continue
        only = field.fact(OfModes)
        if only is not None:
            yield (field.name,), "is for mode " + " or ".join(f'"{mode}"' for mode in only.modes)
        else:
            yield (field.name,), f'is the business of {_PLACE[net.mode]}; leave it out in mode "{net.mode}"'
    if net.mode == BRIDGE and net.bridge is None:
        yield ("bridge",), 'is required for a network in mode "bridge": a bridge that the node has already'
    if net.mode == MACVTAP and net.device is None:
        yield ("device",), 'is required for a network in mode "macvtap": an interface that the node has'
    if net.mode == HOSTDEV:
        yield from _hostdev_rules(net)
    if net.mode == MACVTAP and known(net.device_mode) and net.device_mode != "passthrough" and surely(net.vlan):
        yield ("vlan",), 'is for deviceMode "passthrough", in which the interface is the guest\'s alone'
    if net.mode == BRIDGE:
        is_switch = not known(net.virtual_port) or net.virtual_port == "openvswitch"
        yield from trunk_rules(net.vlan, net.trunk, open_vswitch=is_switch)


def _hostdev_rules(net: Any) -> Iterator[Rule]:
    if net.device is None and known(net.host_devices) and not net.host_devices:
        yield ("device",), 'is required for a network in mode "hostdev": a physical function, or hostDevices'
    if surely(net.device) and surely(net.host_devices):
        yield ("hostDevices",), "cannot be given beside device, which gives all of its virtual functions"
    seen: set[str] = set()
    for index, one in enumerate(net.host_devices if isinstance(net.host_devices, list) else ()):
        if known(one) and one in seen:
            yield ("hostDevices", index), f'"{one}" is given twice'
        if known(one):
            seen.add(one)
