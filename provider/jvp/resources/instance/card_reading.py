"""A card of an instance as it is."""

from __future__ import annotations

from typing import Any

from jvp.libvirt.link.xml import Element, value
from jvp.libvirt.network import filters, reservations
from jvp.libvirt.node_view import View
from jvp.resources.instance import cards, nic_options
from jvp.resources.instance.definition import card_place, nic_key
from jvp.resources.instance.model import InstanceState
from jvp.resources.instance.nic_model import Nic
from jvp.resources.instance.spelling import same_or


def card(
    view: View,
    device: Element,
    prior: InstanceState | None,
    noted: dict[reservations.Card, reservations.Host],
    cut: set[str],
) -> Nic:
    """A card. One that is `cut` off its bridge is on no network: the next update puts it there again."""
    key, (kind, place) = nic_key(device), card_place(device)
    network = place if kind == "network" else None
    at = (network or "", (value(device, "mac/@address") or "").lower())
    before = next((nic for nic in prior.nics if nic.name == key), None) if prior else None
    address = hostname = None
    if at in noted or (before is not None and before.address is not None):
        host = cards.kept(view, at)
        address = host.address
        # A name that nobody declared is not ours to tell.
        is_named = (before is not None and before.hostname is not None) or (at in noted and noted[at].name)
        hostname = host.name if is_named else None
    if before is not None and before.network is not None and network is not None:
        network = same_or(before.network, network, lambda text: view.network(text).name())
    model: Any = value(device, "model/@type") or "virtio"
    return Nic.model_construct(
        name=key,
        network=None if key in cut else network,
        bridge=place if kind == "bridge" else None,
        device=place if kind == "direct" else None,
        mac=value(device, "mac/@address"),
        address=address,
        hostname=hostname,
        model=model,
        **nic_options.told(device),
        firewall=_firewall(view, device, prior, before),
    )


def _firewall(view: View, device: Element, prior: InstanceState | None, before: Nic | None) -> str | None:
    """The firewall of a card. What somebody put before one for which none is declared a plan tells otherwise.

    Of a running guest it is what stands there: libvirt's own answer, not its definition alone.
    """
    name, declared = value(device, "filterref/@filter"), before.firewall if before is not None else None
    if name is None or (prior is not None and declared is None):
        return None
    if not filters.stands(view.node.connection, device):
        return None
    return same_or(declared, name, lambda text: view.firewall(text).name()) if declared is not None else name
