"""A guest that reaches itself by a port forward, where bridges filter what they pass on, as Docker has them do.

There a packet is led to its guest while it is still on the bridge, which sends none back where it came from, but by a
port in hairpin mode. libvirt sets none, so it is set wherever a card has come. Source: br_nf_pre_routing_finish.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from jvp.core.errors import JvpError
from jvp.core.work import Work
from jvp.host import running
from jvp.libvirt.link import told
from jvp.libvirt.link.node import Node

_FILTERS = [f"/proc/sys/net/bridge/bridge-nf-call-{one}" for one in ("iptables", "ip6tables")]


def turn_back(work: Work, node: Node, bridge: str) -> None:
    """Have all ports of a bridge send back what came from them, where that is needed. Again: yes. Raises JvpError."""
    if b"1" not in running.run(node, work, ["cat", *_FILTERS]).out.split():
        return
    ports = told.json_of(running.run(node, work, ["ip", "-j", "link", "show", "master", bridge]).out)
    names = [one.get("ifname") for one in ports if isinstance(one, dict)] if isinstance(ports, list) else []
    if names:
        lines = "".join(f"link set dev {name} hairpin on\n" for name in names)
        # One that has gone meanwhile needs it no more.
        running.run(node, work, ["bridge", "-force", "-batch", "-"], lines.encode())


def meet(work: Work, node: Node, networks: Iterable[str | None]) -> None:
    """The same after cards came to these networks (ids or names), as far as this process knows of forwards in them.

    Best effort: the guest runs.
    """
    for bridge in {node.forwarding[one] for one in networks if one in node.forwarding}:
        with contextlib.suppress(JvpError):
            turn_back(work, node, bridge)
