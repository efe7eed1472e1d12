"""What else on a node drops packets that a network needs: Docker, firewalld, rules of its administrator.

A packet has to be accepted by each base chain of its hook, so no rule of a network lets through what a rival drops.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jvp.core.text import shortened
from jvp.core.work import Work
from jvp.host.way import way_to
from jvp.libvirt.link import told
from jvp.libvirt.link.node import Node
from jvp.resources.network.forwards import nft
from jvp.resources.network.ruleset import PREFIX

_OWN_TABLES = "libvirt_network"
"""Of libvirt's, from 10.4."""
_FIREWALLD = ("inet", "firewalld")


def rivals(work: Work, node: Node, bridge: str, *, forwards: bool) -> Iterator[str]:
    """Sentences: what drops the packets of a network in mode nat on this bridge, and the way out. Raises JvpError.

    `forwards`: its rules are ours. Of another network it is asked on this machine alone, for a login takes seconds, and
    only as root: for a user who may not become it sudo writes to the administrator.
    """
    if not forwards and ((way := way_to(node)).login or not way.is_root):
        return
    listing = told.json_of(nft(work, node, "-j", "list", "chains"))
    items = listing.get("nftables") if isinstance(listing, dict) else None
    chains = [one["chain"] for one in items or () if isinstance(one, dict) and isinstance(one.get("chain"), dict)]
    docker = {_table(one) for one in chains if one.get("name") == "DOCKER-USER"}
    said: set[tuple[str, str]] = set()
    for chain in chains:
        table = _table(chain)
        if not _drops(chain, forwards=forwards) or table in said or _is_ours(node, table, forwards=forwards):
            continue
        if f'"{bridge}"' in nft(work, node, "list", "table", *table).decode(errors="replace"):
            continue  # somebody has let it through
        said.add(table)
        yield _sentence(chain, bridge, is_docker=table in docker)


def _table(chain: dict[str, Any]) -> tuple[str, str]:
    return str(chain.get("family")), str(chain.get("table"))


def _drops(chain: dict[str, Any], *, forwards: bool) -> bool:
    """Whether a chain drops what it does not know. firewalld rejects, and lets libvirt's own networks through."""
    if _table(chain) == _FIREWALLD:
        return forwards and chain.get("hook") == "forward"
    hooks = ("forward", "input") if forwards else ("forward",)
    return chain.get("policy") == "drop" and chain.get("hook") in hooks


def _is_ours(node: Node, table: tuple[str, str], *, forwards: bool) -> bool:
    family, name = table
    if family not in ("inet", "ip", "ip6") or name.startswith((PREFIX, _OWN_TABLES)):
        return True
    # Until 10.4 libvirt's rules stand in these chains themselves, before what those drop.
    return not forwards and name == "filter" and family != "inet" and node.connection.getLibVersion() < 10_004_000


def _sentence(chain: dict[str, Any], bridge: str, *, is_docker: bool) -> str:
    name, table = shortened(str(chain.get("name"))), shortened(" ".join(_table(chain)))
    if _table(chain) == _FIREWALLD:
        return (
            f'firewalld rejects what is forwarded to guests, and what they ask the node for; let "{bridge}" through: '
            f"firewall-cmd --permanent --zone=trusted --add-interface={bridge}, then firewall-cmd --reload"
        )
    if chain.get("hook") == "input":
        return (
            f'the chain "{name}" of the table "{table}" of the node drops what guests ask the node for; accept there '
            f'from "{bridge}" udp ports 53 and 67 and tcp port 53'
        )
    if is_docker:
        return (
            "Docker has the node drop what it forwards, so guests reach nothing and nobody reaches them; let "
            f'"{bridge}" through: iptables -I DOCKER-USER -i {bridge} -j ACCEPT, and the same with -o {bridge}'
        )
    return (
        f'the chain "{name}" of the table "{table}" of the node drops what it forwards, so guests reach nothing and '
        f'nobody reaches them; accept there what comes from "{bridge}" and what goes to it'
    )
