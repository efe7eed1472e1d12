"""A network's XML: the skeleton of a new one, the patch of an existing one, and what it says.

The same functions read the inactive and the running definition, so that both compare. A patch touches only what is
to mean something else: several DHCP ranges, a netmask, what others wrote stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jvp.core.facts import At, Effect
from jvp.core.model import fields
from jvp.core.types import dashed, duration_s, network_of
from jvp.libvirt.link import marks
from jvp.libvirt.link.ranges import range_of
from jvp.libvirt.link.xml import Element, drop, ensure, number, parse, put, read_facts, sub, value, write_facts
from jvp.libvirt.network import ip6_hosts
from jvp.libvirt.network.ip6_hosts import Host6
from jvp.libvirt.network.reservations import Host, host_of, hosts_of
from jvp.resources.network import dns_definition, node_devices, service
from jvp.resources.network.addresses import Dhcp
from jvp.resources.network.forms import OF_THE_NODE, OwnBridge, is_for
from jvp.resources.network.forward_record import has_table, recorded
from jvp.resources.network.ipv6_model import Ipv6, Ipv6Reservation
from jvp.resources.network.model import Network, NetworkState, Reservation

OPEN = "open"
"""libvirt's mode of a network without any rules of libvirt's."""
HOSTS = "reservations"
"""A fact of the mark: names and MACs of the hosts that the network declared, or is about to take out."""
SETTLING = "settling"
"""A fact of the mark: some of those hosts may still be in the running network, and are to go."""


@dataclass(frozen=True)
class Ours:
    """Which hosts of a network are its own: those that it declared, by name or MAC, whatever became of them."""

    names: frozenset[str] = frozenset()
    macs: frozenset[str] = frozenset()

    @classmethod
    def of(cls, hosts: Iterable[Host]) -> Ours:
        found = list(hosts)
        return cls(frozenset(host.key for host in found), frozenset(host.mac for host in found))

    @classmethod
    def recorded(cls, root: Element) -> Ours | None:
        """As our mark in the inactive definition has it; None in a network that we did not make."""
        if marks.mark_of(root) is None:
            return None
        words = marks.facts_of(root).get(HOSTS, "").split()
        return cls(frozenset(one for one in words if ":" not in one), frozenset(one for one in words if ":" in one))

    @property
    def text(self) -> str:
        return " ".join(sorted(self.names) + sorted(self.macs))

    def __contains__(self, host: object) -> bool:
        return isinstance(host, Host) and (host.key in self.names or host.mac in self.macs)

    def __or__(self, other: Ours) -> Ours:
        return Ours(self.names | other.names, self.macs | other.macs)


def record(root: Element, ours: Ours, new: Ours, *, live: bool) -> None:
    """Write into `root` which hosts are the network's own: `new`, and what a running network has yet to let go."""
    left = ours | new if live else new
    marks.set_fact(root, HOSTS, left.text)
    marks.set_fact(root, SETTLING, "yes" if left != new else "")


def hosts_in(reservations: Iterable[Reservation]) -> list[Host]:
    """The hosts of a declaration. One that is called by its MAC has no name."""
    return [
        Host(one.mac.lower(), one.address, None if one.name == dashed(one.mac) else one.name) for one in reservations
    ]


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

    That is of properties without a default. Only what a network of its mode has is kept.
    """
    absent = (
        one for one in fields(Network).values()
        if one.default is None and is_for(one, spec.mode) and getattr(spec, one.attribute) is None
    )  # fmt: skip
    left = (one.attribute for one in absent if not one.computed and one.name not in removed)
    return spec.model_copy(update={attribute: found[attribute] for attribute in left})


def patch(root: Element, spec: Network, ours: Ours) -> None:
    """Write what the program declares into a network's XML; everything else stays, so do hosts that are not `ours`."""
    was, has_domain = forward_mode(root), root.find("domain") is not None
    mode = OPEN if spec.port_forwards else spec.mode
    is_own = spec.mode not in OF_THE_NODE
    if not is_own and spec.mode != was:
        _strip(root)
    elif is_own and was in OF_THE_NODE and spec.bridge is None:
        put(root, "bridge/@name", own_bridge(value(root, "uuid") or ""))
    write_facts(Network, root, spec)
    _patch_domain(root, spec, has_domain)
    if is_own:
        dns_definition.patch(root, spec.dns)
    if mode != was:
        drop(root, "forward")
        if mode != "isolated":
            put(root, "forward/@mode", mode)
    node_devices.patch(root, spec)
    _patch_ip4(root, spec, ours)
    _patch_ip6(root, spec, is_new=mode != was, hides=mode == "nat")
    if is_own:
        service.patch(root, spec.routes, spec.boot, spec.dnsmasq_options, spec.dhcp_options)


def way_out(root: Element) -> str | None:
    """The interface of the node that alone lets a network's guests out; None when any does. No property says one."""
    if node_devices.form_of(root) is not None:
        return None
    return value(root, "forward/@dev") or value(root, "forward/interface/@dev")


_BY = " by "


def with_way_out(mode: str, device: str | None) -> str:
    """The mode as the state has it: with the interface that somebody has set, which is then what an update takes out.

    As a plan shows it: `"nat by eth1" => "nat"`.
    """
    return mode if device is None else f"{mode}{_BY}{device}"


def without_way_out(mode: str) -> str:
    return mode.partition(_BY)[0]


def free_way_out(root: Element) -> None:
    """Let the guests of a network that we made out by any interface again; another's keeps its own."""
    if marks.mark_of(root) is not None and way_out(root) is not None:
        put(root, "forward/@dev", None)
        while root.find("forward/interface") is not None:
            drop(root, "forward/interface")


def _strip(root: Element) -> None:
    """Take out what libvirt refuses in a network on what the node has."""
    own = (field.fact(At) for field in fields(Network).values() if field.fact(OwnBridge) is not None)
    for path in ("bridge", "mac", "virtualport", "vlan", *(at.path.partition("/")[0] for at in own if at is not None)):
        drop(root, path)
    for element in (*root.findall("ip"), *root.findall("route")):
        root.remove(element)


def _patch_domain(root: Element, spec: Network, has_domain: bool) -> None:
    if spec.domain is None:
        drop(root, "domain")
    elif not has_domain:
        # A name of the guests' own that nobody has must not be asked for in the world.
        put(root, "domain/@localOnly", "yes")


def _patch_ip4(root: Element, spec: Network, ours: Ours) -> None:
    element = _patch_subnet(root, "ipv4", spec.cidr, spec.gateway)
    if element is not None:
        _patch_dhcp(element, spec.dhcp)
        _patch_hosts(element, hosts_in(spec.reservations), ours)
        _tidy(element)


def _patch_ip6(root: Element, spec: Network, *, is_new: bool, hides: bool) -> None:
    six, had = spec.ipv6, bool(_family(root, "ipv6"))
    element = _patch_subnet(root, "ipv6", six.cidr if six else None, six.gateway if six else None)
    if six is not None and element is not None:
        _patch_dhcp(element, six.dhcp)
        ip6_hosts.write(root, [Host6(one.name, one.address, one.duid) for one in six.reservations])
        _tidy(element)
        # libvirt hides only IPv4 behind the node's address unless told so.
        if hides and (is_new or not had):
            put(root, "forward/nat/@ipv6", "yes")
    elif had and hides:
        put(root, "forward/nat/@ipv6", None)


def _patch_subnet(root: Element, family: str, cidr: str | None, gateway: str | None) -> Element | None:
    """The address of one family, in the first of its elements; None when there is none to be."""
    found = _family(root, family)
    if cidr is None:
        for one in found:
            root.remove(one)
        return None
    net = network_of(cidr)
    element = found[0] if found else sub(root, "ip", family=None if family == "ipv4" else family)
    _patch_address(element, net, gateway or str(net.network_address + 1))
    return element


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
        return
    is_new = element.find("dhcp/range") is None
    one = ensure(element, "dhcp/range")
    one.set("start", dhcp.start)
    one.set("end", dhcp.end)
    if is_new or _lease_s(one) != duration_s(dhcp.lease_time):
        lease = ensure(one, "lease")
        lease.set("expiry", str(duration_s(dhcp.lease_time)))
        lease.set("unit", "seconds")


def _patch_hosts(element: Element, hosts: list[Host], ours: Ours) -> None:
    wanted = {host.key: host for host in hosts}
    for old in element.findall("dhcp/host"):
        was = host_of(old)
        if was is None or was not in ours:
            continue
        host = wanted.pop(was.key, None)
        if host is not None:
            host.write(old)
        else:
            ensure(element, "dhcp").remove(old)
    for host in wanted.values():
        host.write(sub(ensure(element, "dhcp"), "host"))


def _tidy(element: Element) -> None:
    holder = element.find("dhcp")
    if holder is not None and not len(holder):
        element.remove(holder)


def _family(root: Element, family: str) -> list[Element]:
    return [one for one in root.findall("ip") if one.get("family", "ipv4") == family and one.get("address")]


def mode_of(root: Element) -> str:
    """The mode as programs have it. In libvirt's mode open, the rules of one with port forwards are ours."""
    mode = forward_mode(root)
    return "nat" if mode == OPEN and has_table(root) else mode


def forward_mode(root: Element) -> str:
    """The mode as libvirt has it, but for what of the node the network is on."""
    mode = node_devices.form_of(root) or value(root, "forward/@mode")
    if mode is None and root.find("forward") is not None:
        return "nat"
    return mode or "isolated"


def read(root: Element, ours: Ours) -> dict[str, Any]:
    """A network's properties from its XML, by attribute."""
    four, six = (_family(root, family) for family in ("ipv4", "ipv6"))
    is_own = forward_mode(root) not in OF_THE_NODE
    return {
        **read_facts(NetworkState, root),
        "mode": mode_of(root),
        "cidr": _cidr(four[0]) if four else None,
        "gateway": four[0].get("address") if four else None,
        "dhcp": _read_dhcp(four[0]) if four else None,
        "ipv6": _read_ip6(root, six[0]) if six else None,
        "dns": dns_definition.read(root) if is_own else None,
        **(service.read(root) if is_own else service.NOTHING),
        "port_forwards": recorded(root),
        **node_devices.read(root),
        "reservations": [
            Reservation.model_construct(name=host.key, mac=host.mac, address=host.address)
            for host in sorted(hosts_of(root), key=lambda one: one.key)
            if host in ours
        ],
    }


def _cidr(element: Element) -> str | None:
    found = range_of(element)
    return str(found) if found is not None else None


def _read_ip6(root: Element, element: Element) -> Ipv6:
    hosts = [
        Ipv6Reservation.model_construct(name=one.name, duid=one.duid, address=one.address)
        for one in sorted(ip6_hosts.hosts_of(root))
    ]
    return Ipv6.model_construct(
        cidr=_cidr(element) or "",
        gateway=element.get("address"),
        dhcp=_read_dhcp(element),
        reservations=hosts,
    )


def comparable(values: dict[str, Any]) -> dict[str, Any]:
    """The values that a definition may be edited in: those of all properties in it, but for what replaces a network.

    Not the port forwards, which stand in our mark alone.
    """
    return {
        one.attribute: values[one.attribute]
        for one in fields(Network).values()
        if one.attribute in values and one.effect is not Effect.REPLACE and one.attribute != "port_forwards"
    }


def _read_dhcp(element: Element) -> Dhcp:
    one = element.find("dhcp/range")
    if one is None:
        return Dhcp(enabled=False)
    return Dhcp.model_construct(
        enabled=True, start=one.get("start"), end=one.get("end"), lease_time=_duration(_lease_s(one))
    )


def _lease_s(one: Element) -> int:
    unit = {"seconds": 1, "minutes": 60, "hours": 3600}.get(value(one, "lease/@unit") or "minutes", 60)
    expiry = number(one, "lease/@expiry")
    # dnsmasq's own default is one hour.
    return expiry * unit if expiry is not None else 3600


def _duration(seconds: int) -> str:
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
