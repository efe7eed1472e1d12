"""Routes, network boot and options of dnsmasq in a network's XML. What of them is so already stays as it is written."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from lxml import etree

from jvp.core.errors import JvpError, Rejected
from jvp.libvirt.link import told
from jvp.libvirt.link.ranges import range_of
from jvp.libvirt.link.xml import Element, drop, ensure, number, put, sub, value
from jvp.resources.network.service_model import Boot, Route, dhcp_option

_BAD = re.compile(r"dnsmasq: (bad [\w -]{1,60}?) at line \d+ of")
"""Source: dnsmasq, option.c."""
_DNSMASQ = "http://libvirt.org/schemas/network/dnsmasq/1.0"
_OPTIONS, _OPTION = f"{{{_DNSMASQ}}}options", f"{{{_DNSMASQ}}}option"


def read(root: Element) -> dict[str, Any]:
    """Each by its attribute; None where nothing is said of it."""
    raw, dhcp = _options(root)
    return {"routes": _routes(root) or None, "boot": _boot(root), "dnsmasq_options": raw or None,
            "dhcp_options": dhcp or None}  # fmt: skip


NOTHING: dict[str, Any] = {"routes": None, "boot": None, "dnsmasq_options": None, "dhcp_options": None}
"""What a network has of these whose bridge is the node's own."""


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Tell an option that dnsmasq does not take at the start by the property that has it."""
    try:
        yield
    except JvpError as error:
        why = _BAD.search(error.message)
        if why is None:
            raise
        name = "dhcpOptions" if why[1] == "bad dhcp-option" else "dnsmasqOptions"
        raise Rejected(f"dnsmasq does not take one of these: {why[1]}", path=(name,)) from None


def _routes(root: Element) -> list[Route]:
    found = []
    for one in root.iterfind("route"):
        net, gateway = range_of(one), told.address(one.get("gateway"))
        if net is not None and gateway is not None:
            found.append(Route.model_construct(cidr=str(net), gateway=gateway, metric=number(one, "@metric")))
    return found


def _four(root: Element) -> Element | None:
    """The IPv4 range, which alone has these."""
    return next((one for one in root.iterfind("ip") if one.get("family", "ipv4") == "ipv4"), None)


def _boot(root: Element) -> Boot | None:
    four = _four(root)
    file = value(four, "dhcp/bootp/@file") if four is not None else None
    if four is None or file is None:
        return None
    server = told.address(value(four, "dhcp/bootp/@server"))
    return Boot.model_construct(file=file, server=server, tftp_root=value(four, "tftp/@root"))


def _options(root: Element) -> tuple[list[str], dict[str, str]]:
    """dnsmasq's own options, and those that it tells guests by DHCP."""
    raw: list[str] = []
    dhcp: dict[str, str] = {}
    for one in root.iterfind(f"{_OPTIONS}/{_OPTION}"):
        text = one.get("value", "")
        found = dhcp_option(text)
        if found is None or found[0] in dhcp:
            raw.append(text)
        else:
            dhcp[found[0]] = found[1]
    return raw, dhcp


def patch(
    root: Element,
    routes: Sequence[Route] | None,
    boot: Boot | None,
    dnsmasq_options: Sequence[str] | None,
    dhcp_options: dict[str, str] | None,
) -> None:
    """Write them. Before: the ranges are written, for boot is part of one."""
    _patch_routes(root, list(routes or ()))
    _patch_boot(root, boot)
    raw, dhcp = list(dnsmasq_options or ()), dict(dhcp_options or {})
    if (raw, dhcp) == _options(root):
        return
    drop(root, _OPTIONS)
    if raw or dhcp:
        holder = etree.SubElement(root, _OPTIONS, nsmap={"dnsmasq": _DNSMASQ})
        for text in (*raw, *(_text(name, said) for name, said in sorted(dhcp.items()))):
            etree.SubElement(holder, _OPTION, {"value": text})


def _text(name: str, said: str) -> str:
    return f"dhcp-option={name if name.isdecimal() else f'option:{name}'},{said}"


def _patch_routes(root: Element, routes: list[Route]) -> None:
    wanted, there = ({route.cidr: route.bag() for route in some} for some in (routes, _routes(root)))
    if wanted == there:
        return
    for one in root.findall("route"):
        root.remove(one)
    for route in routes:
        address, _, prefix = route.cidr.partition("/")
        family = "ipv6" if ":" in address else None
        metric = None if route.metric is None else str(route.metric)
        sub(root, "route", family=family, address=address, prefix=prefix, gateway=route.gateway, metric=metric)


def _patch_boot(root: Element, boot: Boot | None) -> None:
    four = _four(root)
    there = _boot(root)
    if four is None or (boot.bag() if boot is not None else None) == (there.bag() if there is not None else None):
        return
    if boot is not None:
        ensure(four, "dhcp/bootp")
    put(four, "dhcp/bootp/@server", boot.server if boot is not None else None)
    put(four, "dhcp/bootp/@file", boot.file if boot is not None else None)
    put(four, "tftp/@root", boot.tftp_root if boot is not None else None)
