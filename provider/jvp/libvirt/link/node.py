"""A node: one libvirt daemon behind a uri, connected when first needed, and again when the connection died."""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, LifoQueue
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import libvirt

from jvp.core import abandon
from jvp.core.errors import Busy, NotFound, Rejected, Unreachable
from jvp.core.outlook import Plans
from jvp.core.types import shortened
from jvp.core.values import Unknown
from jvp.core.work import Work, current
from jvp.libvirt.link import events, handles, one_at_a_time
from jvp.libvirt.link.claims import Claims
from jvp.libvirt.link.errors import connect_error, libvirt_errors, may_pass, silent
from jvp.libvirt.link.looks import Looks
from jvp.libvirt.link.xml import Element, ensure, parse, value

KEEPALIVE = 5, 3
"""Every 5 seconds, 3 times: a peer that vanished without a word is noticed after 5 * (3 + 1) seconds."""
CONTROLS, CONTROLS_BY_SSH = 4, 2
"""Connections for short calls: a login by ssh takes seconds."""
JOBS = 4
"""Connections for long ones. With the others never more than 8 of libvirtd's 20 workers, which all clients share."""
OPEN_S = 60.0
"""A daemon that has just been started may be busy for long with asking QEMU."""
AGAIN_S = 1.0
"""So long each waits who asks a daemon that has been silent for OPEN_S."""
PAUSES_S = 0.3, 0.6, 1.2
"""Before a connection is tried again that was refused or lost at first contact, as by a daemon that is restarting."""
ASKED_S = 0.5
"""So long a call waits for what another one has just asked the node, before it asks itself."""
SLICE_S = 0.2
"""So long a wait lasts before it looks whether it was cancelled."""
DEFAULT_URI = "qemu:///system"
T = TypeVar("T")


@dataclass(frozen=True)
class NodeFacts:
    """A node as it says that it is."""

    hostname: str
    arch: str
    cpus: int
    memory_bytes: int
    free_memory_bytes: int
    hypervisor: str
    hypervisor_version: str
    libvirt_version: str


class _remembered(Generic[T]):
    """What a node is asked once, also by many at once; `cached_property` (3.11) has all wait for one that hangs."""

    def __init__(self, ask: Callable[[Any], T]) -> None:
        self._ask = ask
        self.__doc__ = ask.__doc__

    def __set_name__(self, _: type, name: str) -> None:
        self._name = name

    def __get__(self, node: Any, _: type | None = None) -> T:
        waited = node.asking.acquire(timeout=ASKED_S)
        try:
            if self._name not in node.__dict__:
                node.__dict__[self._name] = self._ask(node)
        finally:
            if waited:
                node.asking.release()
        found: T = node.__dict__[self._name]
        return found


def _version(number: int) -> str:
    """Source: virConnectGetVersion, which packs major, minor and release into one number."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


_PASSWORD = re.compile(r"(://[^/@:]*:)[^/@]*(?=@)")


class Node:
    """Connections to one daemon: `connection` for short calls, `job()` for calls that take long.

    Safe to use from many threads. Nothing connects before the first use, and one thread alone needs one connection.
    """

    def __init__(self, uri: str | Unknown | None, plans: Plans | None = None) -> None:
        self._unknown = isinstance(uri, Unknown)
        self.uri = "" if isinstance(uri, Unknown) else uri or os.environ.get("LIBVIRT_DEFAULT_URI") or DEFAULT_URI
        self.shown = _PASSWORD.sub(r"\1***", self.uri)
        """The uri as sentences and outputs have it."""
        self._lock = threading.Lock()
        self.asking = threading.RLock()
        """Of who asks what is remembered."""
        self._connections: dict[str, handles.Connection] = {}
        self._opening: dict[str, Future[handles.Connection]] = {}
        self._silent_since = 0.0
        """While something opens: when the daemon was first asked, or last answered."""
        self._met = False
        """Whether the daemon was there once."""
        self._again = ""
        """For the status line, while a connection is tried again."""
        self._controls = CONTROLS_BY_SSH if "ssh" in self.uri.partition(":")[0] else CONTROLS
        self._mine = threading.local()
        self._threads = itertools.count()
        self._free_jobs: LifoQueue[int] = LifoQueue()
        for number in reversed(range(JOBS)):
            self._free_jobs.put(number)
        self._pool_locks: dict[str, threading.Lock] = {}
        self._turns: dict[str, threading.Lock] = {}
        self.claims = Claims()
        self.plans = plans or Plans()
        self.looks = Looks()
        self.forwarding: dict[str, str] = {}
        """The bridges of the networks with port forwards that this process has seen, by their ids and names."""

    @property
    def connection(self) -> handles.Connection:
        """The control connection of this thread, always the same one, for what is found through one is bound to it.

        Raises Unreachable with advice when there is no daemon to talk to.
        """
        if not hasattr(self._mine, "number"):
            self._mine.number = next(self._threads) % self._controls
        return self._alive(f"control {self._mine.number}", current())

    @contextlib.contextmanager
    def job(self, work: Work) -> Iterator[handles.Connection]:
        """A connection for one long call, and for nobody else meanwhile; waits for a free one.

        Raises Busy where none is free until the deadline.
        """
        while True:
            with contextlib.suppress(Empty):
                number = self._free_jobs.get(timeout=SLICE_S)
                break
            work.check()
            if not work.left():
                raise Busy(f'"{self.shown}" is busy with {JOBS} long calls; run the command again')
        try:
            yield self._alive(f"job {number}", work)
        finally:
            self._free_jobs.put(number)

    @contextlib.contextmanager
    def pool_lock(self, pool_uuid: str) -> Iterator[None]:
        """Held for short metadata calls on one pool, never for a transfer."""
        with self._lock:
            lock = self._pool_locks.setdefault(pool_uuid, threading.Lock())
        with abandon.turn(lock, "another call on the same storage pool"):
            yield

    @contextlib.contextmanager
    def turn(self, work: Work, what: str) -> Iterator[None]:
        """One call of this process at a time has `what`. To wait for it ends with a Cancel and at the deadline."""
        with self._lock:
            lock = self._turns.setdefault(what, threading.Lock())
        while not lock.acquire(timeout=SLICE_S):
            work.go_on(f"another call has {what} still")
        try:
            yield
        finally:
            lock.release()

    @property
    def is_known(self) -> bool:
        """Whether the uri is known yet."""
        return not self._unknown

    @property
    def is_session(self) -> bool:
        """Whether this is an unprivileged per-user daemon, which has user-mode networking only."""
        return self.uri.split("?")[0].endswith("/session")

    @_remembered
    def is_here(self) -> bool:
        """Whether the node is this machine, so that its files are ours to look at. Raises libvirtError.

        Not so in a container to which the daemon's socket was given.
        """
        parts = urlsplit(self.uri)
        if parts.hostname or "socket=" in parts.query or self._unknown:
            return False
        return self.hostname.partition(".")[0] == socket.gethostname().partition(".")[0]

    @_remembered
    def _host(self) -> Element:
        """What the daemon says of the machine itself, which is no other while it runs. Raises libvirtError."""
        return copy.deepcopy(ensure(parse(self.connection.getCapabilities()), "host"))  # alone: the rest is large

    @property
    def arch(self) -> str:
        """The node's own architecture. Raises libvirtError."""
        return value(self._host, "cpu/arch") or "x86_64"

    @_remembered
    def host_uuid(self) -> str:
        """The host's own uuid, which tells one node from another whatever their uris. Raises libvirtError."""
        uuid = value(self._host, "uuid")
        if uuid is None:
            raise Rejected(f'"{self.shown}" does not tell its host uuid')
        return uuid

    @_remembered
    def hostname(self) -> str:
        """The host's name. Raises libvirtError."""
        return str(self.connection.getHostname())

    def facts(self) -> NodeFacts:
        """What the node says of itself. Raises libvirtError."""
        connection = self.connection
        root = parse(connection.getCapabilities())
        model, memory_mib, cpus, *_ = connection.getInfo()
        return NodeFacts(
            hostname=self.hostname,
            arch=value(root, "host/cpu/arch") or model,
            cpus=int(cpus),
            memory_bytes=int(memory_mib) << 20,
            free_memory_bytes=int(connection.getFreeMemory()),
            hypervisor=connection.getType(),
            hypervisor_version=_version(connection.getVersion()),
            libvirt_version=_version(connection.getLibVersion()),
        )

    def here(self, reference: str, parts: int = 1) -> str:
        """The last `parts` of `[node/]name` or `[node/]pool/name` as typed. Raises NotFound for another node's."""
        words = reference.split("/")
        prefix = "/".join(words[:-parts])
        with libvirt_errors(f'the node "{self.shown}"'):
            if words[:-parts] and prefix.lower() not in (self.hostname.lower(), self.host_uuid):
                raise NotFound(
                    f'"{shortened(reference)}" is on the node "{shortened(prefix)}", and this provider works on the '
                    f'node "{self.hostname}"'
                )
        return "/".join(words[-parts:])

    def host(self) -> str:
        """Where objects of this node are: the host, and whether it is a user's own daemon on it."""
        with libvirt_errors(f'the node "{self.shown}"'):
            return f"{self.host_uuid} (session)" if self.is_session else self.host_uuid

    def _alive(self, which: str, work: Work) -> handles.Connection:
        """The connection of this name, or a new one when it is dead: all who ask meanwhile wait for the same."""
        if self._unknown:
            raise Unreachable("the provider's uri is known only after the apply")
        with self._lock:
            found = self._connections.get(which)
            with contextlib.suppress(libvirt.libvirtError):
                if found is not None and not one_at_a_time.hangs(found) and found.isAlive():
                    return found
            opening = self._opening.get(which)
            if opening is None:
                if not self._opening:
                    self._silent_since = time.monotonic()
                opening = self._opening[which] = Future()
                # In a thread, because nothing ends the call when a daemon that hangs does not answer.
                threading.Thread(target=self._open, args=(which, opening), name="jvp-open", daemon=True).start()
            # One wait for the node: those for its connections, one after the other, would add up.
            end = max(self._silent_since + OPEN_S, time.monotonic() + AGAIN_S)
        while True:
            try:
                return opening.result(max(0.0, min(SLICE_S, end - time.monotonic())))
            except TimeoutError:
                if time.monotonic() >= end:
                    raise silent(self.shown, OPEN_S) from None
                if not work.left():
                    raise silent(self.shown, time.monotonic() - self._silent_since) from None
            except libvirt.libvirtError as error:
                raise connect_error(self.shown, error) from None
            if self._again:
                work.status(self._again)
            work.check()

    def _open(self, which: str, opening: Future[handles.Connection]) -> None:
        try:
            events.start_loop()
            connection = self._connect()
            connection.setKeepAlive(*KEEPALIVE)
            one_at_a_time.one_by_one(connection)
        except BaseException as error:
            with self._lock:
                del self._opening[which]
                self._silent_since = time.monotonic()
            opening.set_exception(error)
        else:
            with self._lock:
                self._connections[which] = connection
                del self._opening[which]
                self._silent_since = time.monotonic()
            opening.set_result(connection)

    def _connect(self) -> handles.Connection:
        try:
            for number, pause_s in enumerate(PAUSES_S):
                try:
                    return self._opened()
                except libvirt.libvirtError as error:
                    if not may_pass(error, met=self._met):
                        raise
                which = f"{number + 2} of {len(PAUSES_S) + 1}"
                self._again = f'"{self.shown}" does not answer yet; attempt {which} to connect follows'
                time.sleep(pause_s)
            return self._opened()
        finally:
            self._again = ""

    def _opened(self) -> handles.Connection:
        opened: handles.Connection = libvirt.open(self.uri)
        self._met = True
        return opened
