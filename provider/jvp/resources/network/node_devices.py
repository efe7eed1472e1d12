"""A network on an interface of the node (macvtap) or of its virtual functions (SR-IOV), in XML."""

from __future__ import annotations

import re
from typing import Any

from jvp.libvirt.link.xml import Element, drop, ensure, put, sub, value
from jvp.libvirt.network import vlans
from jvp.resources.network.forms import HOSTDEV, MACVTAP

SHARED = "bridge"
"""libvirt's word for macvtap's usual mode, which is also that of a network on a bridge."""
_MACVTAP = (SHARED, "vepa", "private", "passthrough")


def form_of(root: Element) -> str | None:
    """The mode of a network on an interface of the node or of its virtual functions; None where it is neither."""
    mode = value(root, "forward/@mode")
    if mode == HOSTDEV:
        return HOSTDEV
    on_device = root.find("bridge") is None and _device(root) is not None
    return MACVTAP if mode in _MACVTAP and on_device else None


def _device(root: Element) -> str | None:
    return value(root, "forward/interface/@dev") or value(root, "forward/@dev")


def read(root: Element) -> dict[str, Any]:
    """The properties of such a network, and the VLANs of any, by attribute."""
    vlan, trunk = vlans.read(root)
    found: dict[str, Any] = {"device": None, "device_mode": None, "host_devices": [], "vlan": vlan, "trunk": trunk}
    form = form_of(root)
    if form == MACVTAP:
        found |= {"device": _device(root), "device_mode": value(root, "forward/@mode")}
    elif form == HOSTDEV:
        every = root.iterfind("forward/address[@type='pci']")
        found |= {"device": value(root, "forward/pf/@dev"), "host_devices": [_text(one) for one in every]}
    return found


def _text(address: Element) -> str:
    parts = (_number(address.get(name)) for name in ("domain", "bus", "slot", "function"))
    return "{:04x}:{:02x}:{:02x}.{:x}".format(*parts)


def _number(text: str | None) -> int:
    """What libvirt writes as 0x1f; 0 of what is no number, for anybody may have written it."""
    found = re.fullmatch(r"0x([0-9a-fA-F]{1,8})", text or "", re.ASCII)
    return int(found[1], 16) if found is not None else 0


def patch(root: Element, spec: Any) -> None:
    """Write what is declared of such a network, and the VLANs of any on what the node has."""
    vlans.write(root, spec.vlan, spec.trunk)
    now = read(root)
    if spec.mode == MACVTAP:
        mode = spec.device_mode or SHARED
        if (now["device"], now["device_mode"]) != (spec.device, mode):
            drop(root, "forward")
            put(root, "forward/@mode", mode)
            sub(ensure(root, "forward"), "interface", dev=spec.device)
    elif spec.mode == HOSTDEV and (now["device"], now["host_devices"]) != (spec.device, spec.host_devices):
        drop(root, "forward")
        forward = ensure(root, "forward")
        forward.set("mode", HOSTDEV)
        forward.set("managed", "yes")  # libvirt takes a function from the node's driver, and gives it back
        if spec.device is not None:
            sub(forward, "pf", dev=spec.device)
        for one in spec.host_devices:
            sub(forward, "address", type="pci", **_parts(one))


def _parts(text: str) -> dict[str, str]:
    place, _, function = text.rpartition(".")
    domain, bus, slot = place.split(":")
    return {"domain": f"0x{domain}", "bus": f"0x{bus}", "slot": f"0x{slot}", "function": f"0x{function}"}
