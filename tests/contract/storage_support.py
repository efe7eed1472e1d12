"""What the contract tests of storage share: a provider that dies at a chosen libvirt call, and images."""

from __future__ import annotations

import contextlib
import functools
import gc
import http.server
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt

from faults.cut import WRITES
from jvp.core.check import check
from jvp.core.identity import Key
from jvp.core.model import Spec
from jvp.core.work import Work
from jvp.libvirt.link.node import Node
from jvp.resources.storage.pool import StoragePool, StoragePools
from jvp.resources.storage.template import Template, Templates
from jvp.resources.storage.volume import Volume, Volumes

MIB = 1024 * 1024
MARKER = ".jvp-@pool.json"
_RUN = secrets.token_hex(4)
_WRITING = {
    name
    for kind, methods in WRITES.items()
    for method in methods.split()
    if (call := getattr(getattr(libvirt, kind), method, None))
    for name in call.__code__.co_names
    if hasattr(libvirt.libvirtmod, name)
}
"""The functions of libvirt's C module behind the methods that write."""
_QUIET = ("Free", "Unref", "Ref", "GetName", "GetUUIDString", "GetConnect")


class Killed(BaseException):
    """What a killed process does not survive; no handler may catch it."""


class Spy:
    """libvirt's C module, with its calls noted; before its n-th writing call the process dies."""

    def __init__(self, module: Any, at: int | None = None) -> None:
        self._module, self._at, self._writes = module, at, 0
        self.names: list[str] = []
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if not callable(found) or name.endswith(_QUIET) or name.startswith(("virEvent", "virGet")):
            return found

        def call(*arguments: Any) -> Any:
            if self.dead:
                raise Killed
            self.names.append(name)
            if name in _WRITING:
                if self._writes == self._at:
                    self.dead = True
                    raise Killed
                self._writes += 1
            return found(*arguments)

        return call


@contextlib.contextmanager
def spying(at: int | None = None) -> Iterator[Spy]:
    """Note libvirt calls; with `at` die before the writing one of that number is made."""
    module = libvirt.libvirtmod
    spy = Spy(module, at)
    libvirt.libvirtmod = spy
    try:
        yield spy
    finally:
        libvirt.libvirtmod = module


class Provider:
    """One provider process, as far as storage goes."""

    def __init__(self) -> None:
        self.node = Node(None)
        self.pools, self.templates, self.volumes = StoragePools(self.node), Templates(self.node), Volumes(self.node)

    def exit(self) -> None:
        """Close the connections, as the end of a process does."""
        opened, self.node._connections = self.node._connections, {}
        for connection in opened.values():
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()


def cuts(act: Callable[[Provider], Any], *, limit: int = 400) -> Iterator[str]:
    """Run `act` in a provider that dies before its first writing libvirt call, then its second, and so on to its end.

    After each death the caller checks and repairs; what is yielded says where it was. Dying after a call is dying
    before the next, and dying at a reading call leaves what the writing call before it did.
    """
    gc.freeze()  # What is there now does not go; without this each collection looks at all of it.
    try:
        for number in range(limit):
            provider = Provider()
            _ = provider.node.connection
            with spying(number) as spy:
                try:
                    act(provider)
                except Killed:
                    pass
                except Exception as error:
                    if not spy.dead:
                        raise AssertionError(f"failed before the cut: {error!r}") from error
            where = f"before writing call {number}, {spy.names[-1]}"
            gc.collect()
            provider.exit()
            yield where
            if not spy.dead:
                return
        raise AssertionError(f"more than {limit} calls")
    finally:
        gc.unfreeze()


@dataclass
class Lines:
    """The warnings and the progress of a work."""

    warnings: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)

    def work(self) -> Work:
        return Work(warn=self.warnings.append, status=self.statuses.append)


def spec_of(model: type[Spec], **bag: Any) -> Any:
    """A checked spec. Raises AssertionError with the failures."""
    checked = check(model, bag)
    assert checked.spec is not None, checked.failures
    return checked.spec


def pool_spec(**bag: Any) -> StoragePool:
    return spec_of(StoragePool, **bag)  # type: ignore[no-any-return]


def volume_spec(**bag: Any) -> Volume:
    return spec_of(Volume, **bag)  # type: ignore[no-any-return]


def template_spec(**bag: Any) -> Template:
    return spec_of(Template, **bag)  # type: ignore[no-any-return]


def key(kind: str, address: str) -> Key:
    """A key of this run's own: what another run makes of the same name beside it is somebody else's."""
    return Key("", kind, f"{_RUN}/{address}", address)


def raw_image(path: Path, *, size: int = 8 * MIB, data: int = MIB, mark: bytes = b"") -> Path:
    """A raw disk with a boot sector and `data` random bytes after a hole."""
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(510)
        file.write(b"\x55\xaa")
        file.seek(2 * MIB)
        file.write(mark + os.urandom(data))
    return path


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """An HTTP server over a folder; its address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
