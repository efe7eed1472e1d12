"""A network's XML: the skeleton of a new one, the patch of an existing one, and what it says.

The same functions read the inactive and the running definition, so that both compare. A patch touches only what is
to mean something else: several DHCP ranges, a netmask, what others wrote stay as they are.
"""

from __future__ import annotations

from typing import Any

from jvp.core.types import duration_s, network_of
from jvp.libvirt.networks import range_of, ranges_of
from jvp.libvirt.xml import Element, drop, ensure, parse, put, read_facts, sub, value, write_facts
from jvp.resources.network.model import Dhcp, Network, NetworkState

UNSET = ("cidr", "gateway", "dhcp", "domain", "mtu")
"""What may be absent, and is left alone where it is there and no program ever declared it."""


def own_bridge(uuid: str) -> str:
    """The bridge of a network that names none.

    libvirt 9.0 chooses a bridge name in a race when several networks start at once; ours follows from the uuid.
    """
    return f"jvp{uuid.replace('-', '')[:10]}"


def skeleton(uuid: str) -> Element:
    """A new network without anything that the program declares."""
    root = parse("<network/>")
    put(root, "uuid", uuid)
    put(root, "bridge/@name", own_bridge(uuid))
    return root


def kept(spec: Network, found: dict[str, Any], removed: set[str]) -> Network:
    """The spec with what the definition has and no program declared, but for what the program gave up.

    On a bridge of the node there is nothing to keep.
    """
    if spec.mode == "bridge":
        return spec
    return spec.model_copy(
        update={name: found[name] for name in UNSET if getattr(spec, name) is None and name not in removed}
    )


def patch(root: Element, spec: Network) -> None:
    """Write what the program declares into a network's XML; everything else stays."""
    was, has_domain = _mode(root), root.find("domain") is not None
    if spec.mode == "bridge" != was:
        _strip(root)
    elif was == "bridge" != spec.mode and spec.bridge is None:
        put(root, "bridge/@name", own_bridge(value(root, "uuid") or ""))
    write_facts(Network, root, spec)
    _patch_domain(root, spec, has_domain)
    if spec.mode != was:
        drop(root, "forward")
        if spec.mode != "isolated":
            put(root, "forward/@mode", spec.mode)
    _patch_ip4(root, spec)


def _strip(root: Element) -> None:
    """Take out what libvirt refuses in a network on a bridge of the node."""
    for path in ("bridge", "mac", "domain", "mtu"):
        drop(root, path)
    for element in root.findall("ip"):
        root.remove(element)


def _patch_domain(root: Element, spec: Network, has_domain: bool) -> None:
    if spec.domain is None:
        drop(root, "domain")
    elif not has_domain:
        # A name of the guests' own that nobody has must not be asked for in the world.
        put(root, "domain/@localOnly", "yes")


def _patch_ip4(root: Element, spec: Network) -> None:
    found = _ip4(root)
    if spec.cidr is None:
        for element in found:
            root.remove(element)
        return
    net = network_of(spec.cidr)
    element = found[0] if found else sub(root, "ip")
    _patch_address(element, net, spec.gateway or str(net.network_address + 1))
    _patch_dhcp(element, spec.dhcp)


def _patch_address(element: Element, net: Any, gateway: str) -> None:
    before = range_of(element) if element.get("address") is not None else None
    element.set("address", gateway)
    if before != net:
        element.attrib.pop("netmask", "")
        element.set("prefix", str(net.prefixlen))


def _patch_dhcp(element: Element, dhcp: Dhcp | None) -> None:
    """Write the range: into the first one, where there are several."""
    if dhcp is None or not (dhcp.enabled and dhcp.start and dhcp.end):
        while element.find("dhcp/range") is not None:
            drop(element, "dhcp/range")
        holder = element.find("dhcp")
        if holder is not None and not len(holder):
            element.remove(holder)
        return
    is_new = element.find("dhcp/range") is None
    one = ensure(element, "dhcp/range")
    one.set("start", dhcp.start)
    one.set("end", dhcp.end)
    if is_new or _lease_s(one) != duration_s(dhcp.lease_time):
        lease = ensure(one, "lease")
        lease.set("expiry", str(duration_s(dhcp.lease_time)))
        lease.set("unit", "seconds")


def _ip4(root: Element) -> list[Element]:
    return [one for one in root.findall("ip") if one.get("family", "ipv4") == "ipv4"]


def _mode(root: Element) -> str:
    mode = value(root, "forward/@mode")
    if mode is None and root.find("forward") is not None:
        return "nat"
    return mode or "isolated"


def read(root: Element) -> dict[str, Any]:
    """A network's properties from its XML, by attribute."""
    addresses = _ip4(root)
    return {
        **read_facts(NetworkState, root),
        "mode": _mode(root),
        "cidr": next((str(one) for one in ranges_of(root) if one.version == 4), None),
        "gateway": addresses[0].get("address") if addresses else None,
        "dhcp": _read_dhcp(addresses[0]) if addresses else None,
    }


def comparable(values: dict[str, Any]) -> dict[str, Any]:
    """The values that a definition may be edited in, in a form that is the same however they were read."""
    return {name: values[name] for name in ("mode", "cidr", "gateway", "dhcp", "domain", "mtu", "bridge")}


def _read_dhcp(element: Element) -> Dhcp:
    one = element.find("dhcp/range")
    if one is None:
        return Dhcp(enabled=False)
    return Dhcp.model_construct(
        enabled=True, start=one.get("start"), end=one.get("end"), lease_time=_duration(_lease_s(one))
    )


def _lease_s(one: Element) -> int:
    unit = {"seconds": 1, "minutes": 60, "hours": 3600}[value(one, "lease/@unit") or "minutes"]
    expiry = value(one, "lease/@expiry")
    # dnsmasq's own default is one hour.
    return int(expiry) * unit if expiry else 3600


def _duration(seconds: int) -> str:
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
