"""The power of an instance as actions change it, and the last requests that its mark remembers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jvp.core import action
from jvp.core.action import Request
from jvp.core.declaration import Noted
from jvp.core.errors import Busy, NotFound, Rejected
from jvp.core.model import fields
from jvp.core.work import Work
from jvp.libvirt.domain import devices, guest
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import marks
from jvp.libvirt.link.errors import libvirt_errors, start_errors
from jvp.libvirt.link.handles import Domain
from jvp.libvirt.link.node import Node
from jvp.resources.instance.model import Instance

REQUESTS = "requests"
"""A fact of the mark: the last requests for actions that are not to be done twice."""
OFF = "off"
_REFUSED = {
    "paused": "is paused; resume it",
    "suspended": "is suspended; resume it",
    "crashed": "crashed and is kept for a look at it; stop it by force",
}
"""What stands in the way of a start or a stop, and what to do."""


class Guest:
    """One instance. Each call looks at it anew, and raises NotFound when it is gone, Rejected, Busy."""

    def __init__(self, node: Node, uuid: str) -> None:
        self._api = DomainApi(node)
        self._uuid = uuid

    def state(self) -> str:
        """What the guest is doing."""
        with self._found() as domain:
            return guest.state_of(domain) or "unknown"

    def start(self, work: Work) -> str:
        """Start it. Again: yes."""
        with self._found() as domain:
            self._started(work, domain)
            return guest.state_of(domain) or "unknown"

    def stop(self, work: Work, timeout: str | None, *, force: bool) -> str:
        """Shut it down, and cut it off at the timeout; with `force` at once. Again: yes."""
        with self._found() as domain:
            self._stopped(work, domain, timeout, force=force)
            return "stopped"

    def run(self) -> str:
        """Which run of the guest this is: libvirt counts them."""
        with self._found() as domain:
            return str(domain.ID()) if guest.is_active(domain) else OFF

    def restart(self, work: Work, since: str, timeout: str | None, *, force: bool) -> str:
        """Have another run of the guest than that one. Again: yes, with the same `since`."""
        with self._found() as domain:
            if guest.is_active(domain) and str(domain.ID()) == since:
                if not domain.isPersistent():
                    raise Rejected(
                        f'"{domain.name()}" was undefined while it runs, and would be gone once it is off; define it '
                        "again first"
                    )
                self._stopped(work, domain, timeout, force=force)
        with self._found() as domain:
            self._started(work, domain)
            return guest.state_of(domain) or "unknown"

    def pause(self) -> str:
        """Halt it. Again: yes."""
        with self._found() as domain:
            state = guest.state_of(domain)
            if state not in ("running", "paused"):
                raise Rejected(f'instance "{domain.name()}" is {state}, and only a running one can be paused')
            if state == "running":
                guest.pause(domain)
            return "paused"

    def resume(self, work: Work) -> str:
        """Let it go on. Again: yes."""
        with self._found() as domain:
            state = guest.state_of(domain)
            if state not in ("running", *guest.STANDING):
                raise Rejected(f'instance "{domain.name()}" is {state}, and only a paused one can go on; start it')
            guest.revive(work, domain, "running")
            if not guest.is_active(domain):  # QEMU does not resume it any more
                guest.start(work, domain)
            if why := guest.io_error(domain):
                raise Rejected(why)
            return "running"

    def read(self) -> tuple[Request, ...]:
        with self._found() as domain:
            return action.noted(marks.facts_of(devices.inactive_xml(domain)).get(REQUESTS, ""))

    def write(self, requests: tuple[Request, ...]) -> None:
        with self._found() as domain:
            if domain.isPersistent():  # else defining it would keep what is to be gone
                root = devices.inactive_xml(domain)
                note = marks.note_fact if requests else marks.set_fact
                note(root, REQUESTS, action.text_of(requests))
                self._api.define(root)

    @contextmanager
    def _found(self) -> Iterator[Domain]:
        with libvirt_errors("instance"):
            domain = self._api.find(self._uuid)
            if domain is None:
                raise NotFound("the instance is gone")
            with libvirt_errors(f'instance "{domain.name()}"'):
                yield domain

    def _started(self, work: Work, domain: Domain) -> None:
        state, what = guest.state_of(domain), f'instance "{domain.name()}"'
        if state == "running":
            return
        if state == "stopping":
            raise Busy(f"{what} is shutting down; start it once it is stopped")
        if state in _REFUSED and guest.is_active(domain) and not guest.is_starting(domain):
            raise Rejected(f"{what} {_REFUSED[state]}")
        with start_errors(what, {}, {}):
            guest.start(work, domain)

    def _stopped(self, work: Work, domain: Domain, timeout: str | None, *, force: bool) -> None:
        state = guest.state_of(domain)
        if force:
            if guest.is_active(domain):
                guest.cut_off(domain)
            return
        if state in _REFUSED and guest.is_active(domain):
            word = "" if state == "crashed" else ", for it answers no request to shut down; or stop it by force"
            raise Rejected(f'instance "{domain.name()}" {_REFUSED[state]}{word}')
        guest.shut_down(work, domain, timeout or self._patience(domain))

    def _patience(self, domain: Domain) -> str:
        """How long the instance's own declaration has a guest take to shut down."""
        declared = Noted.of(marks.bearer(devices.inactive_xml(domain)), Instance).declaration
        settings = declared.settings if declared is not None else {}
        return str(settings.get("shutdownTimeout", fields(Instance)["shutdownTimeout"].default))
