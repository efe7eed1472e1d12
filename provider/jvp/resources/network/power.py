"""Starting and stopping a network, as actions do. Again: yes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from jvp.core.errors import JvpError, NotFound
from jvp.core.words import listed
from jvp.core.work import Work
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.handles import Network
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element
from jvp.libvirt.network.networks import NetworkApi
from jvp.resources.network import forwards, hairpin
from jvp.resources.network.forward_record import has_table
from jvp.resources.network.restart import Restart


def start(work: Work, node: Node, uuid: str) -> None:
    """Start it. A new bridge has no ports: cards of our running guests are plugged in again. Raises NotFound."""
    with _found(node, uuid) as (api, network, root):
        if not network.isActive():
            cut_off = api.runs_under(network.name())
            if cut_off:
                Restart.note(root)
                network = api.define(root)
            with contextlib.ExitStack() as undo:
                if cut_off:
                    undo.callback(_forget, api, uuid)
                if has_table(root):
                    forwards.settle(work, api, root)
                api.start(network)
                undo.pop_all()
        Restart(node, network).finish(work)
        hairpin.meet(work, node, [uuid])


def stop(work: Work, node: Node, uuid: str) -> None:
    """Stop it, with a warning of what runs on it. Raises NotFound."""
    with _found(node, uuid) as (api, network, _):
        if network.isActive():
            if names := api.connected(network):
                work.warn(f"what runs on this network is cut off until it is active again: {listed(names)}")
            network.destroy()


def _forget(api: NetworkApi, uuid: str) -> None:
    """Take the note of a restart out again that did not begin. Best effort: the error is another."""
    with contextlib.suppress(JvpError), libvirt_errors("network"):
        found = api.found(uuid)
        if found is not None:
            Restart.drop(found[1])
            api.define(found[1])


@contextlib.contextmanager
def _found(node: Node, uuid: str) -> Iterator[tuple[NetworkApi, Network, Element]]:
    api = NetworkApi(node)
    with libvirt_errors("network"):
        found = api.found(uuid)
        if found is None:
            raise NotFound("the network is gone")
        with libvirt_errors(f'network "{found[0].name()}"'):
            yield api, *found
