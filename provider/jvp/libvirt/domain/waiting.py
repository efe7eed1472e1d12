"""Waiting for a guest that was started, and what to say when the wait runs out: everything that was looked at."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping

import libvirt

from jvp.core.errors import Cancelled
from jvp.core.types import duration_s, shortened
from jvp.core.work import Work
from jvp.libvirt.domain import addresses, devices, guest
from jvp.libvirt.link import events, handles
from jvp.libvirt.link.xml import Element, value

LEASE_POLL_S = 0.1
"""libvirt has no event for a lease; asking costs 0.2 ms (measured)."""
AGENT_POLL_S = 1.0
"""As often the definition is read again: which cards the guest has, and whether its agent is there."""
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[()][A-Z0-9]|[=>])")


def wait_for_address(work: Work, domain: handles.Domain, kept: Mapping[str, str], timeout: str) -> str | None:
    """Wait until a card has an address: a lease, or what the agent says. What went wrong as a sentence, else None.

    Of a card for whose MAC an address is `kept`, no other lease counts. Of the agent only IPv4 counts: a guest gives
    itself IPv6 addresses long before it is reached by its name.
    """
    asked, root = 0.0, None

    def look() -> str | None:
        nonlocal asked, root
        due = time.monotonic() - asked >= AGENT_POLL_S
        if root is None or due:
            root = devices.live_xml(domain)
        known_leases = guest.current_leases(domain, root)
        fresh = [one.address for one in known_leases if kept.get(one.mac, one.address) == one.address]
        if not fresh and due:
            known = addresses.agent_addresses(domain, root) if addresses.channel_state(root) == "connected" else None
            fresh = [one.address for one in known or () if ":" not in one.address]
            asked = time.monotonic()
        return f"has the address {fresh[0]}" if fresh else None

    return _wait(work, domain, timeout, "an address", look, _no_address)


def wait_for_agent(work: Work, domain: handles.Domain, timeout: str) -> str | None:
    """Wait until the guest agent answers; what went wrong as a sentence, else None."""
    asked = 0.0

    def look() -> str | None:
        nonlocal asked
        if time.monotonic() - asked < AGENT_POLL_S:
            return None
        root = devices.live_xml(domain)
        connected = addresses.channel_state(root) == "connected"
        answered = connected and addresses.agent_addresses(domain, root) is not None
        asked = time.monotonic()
        return "its agent answers" if answered else None

    return _wait(work, domain, timeout, "the guest agent", look, _no_agent)


def _wait(
    work: Work,
    domain: handles.Domain,
    timeout: str,
    what: str,
    look: Callable[[], str | None],
    missing: Callable[[handles.Domain, str], str],
) -> str | None:
    limit_s = duration_s(timeout)
    given_s = work.left(limit_s)
    if given_s < limit_s:
        timeout = f"{given_s:.0f}s, when the call's own timeout came before the {timeout}"
    end, shown = time.monotonic() + given_s, -1
    console = Console(domain)
    try:
        with events.watch(domain.connect(), domain, "lifecycle", "agent") as seen:
            while True:
                console.read()
                if not guest.is_active(domain):
                    return f"the guest stopped while {what} was awaited; look at its console{console.said}"
                if (found := look()) is not None:
                    work.status(found)
                    return None
                left = end - time.monotonic()
                if left <= 0:
                    return f"{missing(domain, timeout)}{_end(domain)}{console.said}"
                if int(left) != shown:
                    shown = int(left)
                    work.status(f"waiting for {what}, {shown} s left")
                seen.next(work, min(LEASE_POLL_S, left))
    except Cancelled:
        return f"stopped on request while {what} was awaited; an update of it waits again"
    finally:
        console.close()


def _no_address(domain: handles.Domain, timeout: str) -> str:
    root = devices.live_xml(domain)
    cards = [
        f"{value(card, 'mac/@address')} on {_place(card) or 'user-mode networking'}"
        for card in root.iterfind("devices/interface")
    ]
    old = ", ".join(lease.address for lease in guest.set_aside(root))
    leases = f"no lease for {', '.join(cards)}{f' since it was started (before it had {old})' if old else ''}"
    return f"no address after {timeout}: {leases}; {_agent(domain, root)}; {_arp(domain, root)}"


def _place(card: Element) -> str | None:
    return next(filter(None, (value(card, f"source/@{name}") for name in ("network", "bridge", "dev"))), None)


def _arp(domain: handles.Domain, root: Element) -> str:
    found = addresses.arp_addresses(domain, root)
    if found is None:
        return "the node's ARP table cannot be read"
    seen = ", ".join(sorted(one.address for one in found))
    return f"the node's ARP table has {seen}" if seen else "nothing in the node's ARP table"


def _no_agent(domain: handles.Domain, timeout: str) -> str:
    root = devices.live_xml(domain)
    known = ", ".join(lease.address for lease in guest.current_leases(domain))
    leases = f"the guest has leased {known}" if known else "no lease either"
    return f"no answer of the guest agent after {timeout}: {_agent(domain, root)}; {leases}"


def _agent(domain: handles.Domain, root: Element) -> str:
    """What can be said of the agent of a guest that was waited for in vain."""
    state = addresses.channel_state(root)
    if state is None:
        return "the machine has no channel for the guest agent"
    if state != "connected":
        return "the guest agent is not connected"
    known = addresses.agent_addresses(domain, root)
    return "the guest agent does not answer" if known is None else "the guest agent knows no address"


def _end(domain: handles.Domain) -> str:
    return f'; the guest is {guest.state_of(domain)}; look at its console with "virsh console {domain.name()}"'


class Console:
    """What the guest writes on its serial console while it is waited for. Best effort, and never blocks.

    Nobody's console is taken away: where one is open already, this one hears nothing.
    """

    def __init__(self, domain: handles.Domain) -> None:
        self._text = ""
        self._stream: handles.Stream | None = None
        with contextlib.suppress(libvirt.libvirtError):
            stream = domain.connect().newStream(libvirt.VIR_STREAM_NONBLOCK)
            domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_SAFE)
            self._stream = stream

    def read(self) -> None:
        """Take what has come since."""
        # Bounded: a guest that writes without an end must not hold us.
        for _ in range(64):
            if self._stream is None:
                return
            if self._stream is None:
                return
            if self._stream is None:
                return
            try:
                data = self._stream.recv(4096)
            except libvirt.libvirtError:
                self._stream = None
                return
            if isinstance(data, int):  # nothing yet
                return
            if not data:
                self.close()
                return
            self._text = (self._text + data.decode(errors="replace"))[-4096:]

    @property
    def said(self) -> str:
        """The last line as the end of a sentence; empty when nothing was heard."""
        lines = [line.strip() for line in re.split(r"[\r\n]+", _ESCAPES.sub("", self._text))]
        last = next((line for line in reversed(lines) if line), None)
        return f", which ends with: {shortened(last, 160)}" if last else ""

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(libvirt.libvirtError):
                stream.abort()
