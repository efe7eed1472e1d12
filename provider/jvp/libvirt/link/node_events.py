"""What happens to the objects of a node, as libvirt tells it, for as long as somebody wants to hear it.

libvirt forgets who listens when its daemon ends or the connection breaks. So a thread watches the connection, asks
again on a new one, and tells of the gap: what happened meanwhile nobody knows.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import libvirt

from jvp.core.errors import JvpError
from jvp.core.happened import Happened
from jvp.core.text import harmless, sentence, shortened
from jvp.core.work import Work, running
from jvp.libvirt.link import event_words, handles, told
from jvp.libvirt.link.errors import libvirt_errors, reason
from jvp.libvirt.link.node import Node

CONNECT_S = 5.0
"""Who begins to listen waits no longer than this for a daemon that is silent."""
AGAIN_S = 1.0
"""So long after a failure it is tried again."""
LOOK_S = 10.0
"""As often the connection is looked at, also where libvirt tells of no end."""
DETAIL_MAX = 200


class NodeEvents:
    """The events of one node. `tell` and `gap` are called from other threads, must be quick, and must not raise."""

    def __init__(self, node: Node, tell: Callable[[Happened], None], gap: Callable[[str], None]) -> None:
        self._node, self._tell, self._gap = node, tell, gap
        self._uuid = ""
        self._stopped = False
        self._look = threading.Event()
        """Set when there is something to look at: the end of the connection, or ours."""
        self.ready = threading.Event()
        """As `Watch` has it."""

    def start(self) -> None:
        """Listen, from a moment on that `ready` tells."""
        threading.Thread(target=self._run, name="jvp-node-events", daemon=True).start()

    def stop(self) -> None:
        """Listen no more. Does not wait for the end of it."""
        self._stopped = True
        self._look.set()

    def _run(self) -> None:
        missing, last = False, ""
        while not self._stopped:
            self._look.clear()
            try:
                with running(Work(deadline=time.monotonic() + CONNECT_S)), libvirt_errors(f'"{self._node.shown}"'):
                    connection, self._uuid = self._node.connection, self._node.host_uuid
                with self._registered(connection) as refused:
                    if missing:
                        self._gap("the node was not heard for a while")
                    if refused:
                        self._gap(sentence(f"some objects of the node are not heard of: {refused}"))
                    last = ""
                    self.ready.set()
                    self._until_lost(connection)
            except JvpError as error:
                if str(error) != last and not self._stopped:
                    self._gap(sentence(f"nothing is heard of objects until the node answers: {error}"))
                last = str(error)
                self.ready.set()
                self._look.wait(AGAIN_S)
            missing = True

    def _until_lost(self, connection: handles.Connection) -> None:
        with contextlib.suppress(libvirt.libvirtError):
            while not self._stopped and connection.isAlive():
                self._look.wait(LOOK_S)
                self._look.clear()

    @contextlib.contextmanager
    def _registered(self, connection: handles.Connection) -> Iterator[str]:
        """Have libvirt tell while inside; what it refuses, as a sentence. Raises Unreachable."""
        refused: dict[str, None] = {}
        with contextlib.ExitStack() as undo:
            with _as_far_as_it_goes(refused):
                connection.registerCloseCallback(lambda *_: self._look.set(), None)
                undo.callback(_quietly, connection.unregisterCloseCallback)
            for number, say in event_words.numbered("VIR_DOMAIN_EVENT_ID_", event_words.DOMAIN):
                with _as_far_as_it_goes(refused):
                    ticket = connection.domainEventRegisterAny(None, number, self._note, ("Instance", say))
                    undo.callback(_quietly, connection.domainEventDeregisterAny, ticket)
            for number, say in event_words.numbered("VIR_NETWORK_EVENT_ID_", event_words.NETWORK):
                with _as_far_as_it_goes(refused):
                    ticket = connection.networkEventRegisterAny(None, number, self._note, ("Network", say))
                    undo.callback(_quietly, connection.networkEventDeregisterAny, ticket)
            for number, say in event_words.numbered("VIR_STORAGE_POOL_EVENT_ID_", event_words.POOL):
                with _as_far_as_it_goes(refused):
                    ticket = connection.storagePoolEventRegisterAny(None, number, self._note, ("StoragePool", say))
                    undo.callback(_quietly, connection.storagePoolEventDeregisterAny, ticket)
            yield "; ".join(refused)

    def _note(
        self, _: handles.Connection, subject: handles.Domain | handles.Network | handles.StoragePool, *more: Any
    ) -> None:
        """Called by libvirt's event loop. What is asked of the object here asks nobody."""
        kind, say = more[-1]
        event, detail = say(*more[:-1])
        name = harmless(told.readable(subject.name))
        self._tell(
            Happened(kind, subject.UUIDString(), name, event, shortened(detail, DETAIL_MAX), self._uuid, time.time())
        )


@contextlib.contextmanager
def _as_far_as_it_goes(refused: dict[str, None]) -> Iterator[None]:
    """Note why libvirt does not tell of something; a session without networks has nothing to tell of them."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            refused[reason(error)] = None


def _quietly(end: Callable[..., None], *ticket: int) -> None:
    """End something that has ended already where the connection is lost."""
    with contextlib.suppress(libvirt.libvirtError):
        end(*ticket)
