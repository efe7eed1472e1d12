"""What the contract tests of storage share: a provider that dies at a chosen libvirt call, and images."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt

from jvp.core.check import check
from jvp.core.identity import Key
from jvp.core.model import Spec
from jvp.core.work import Work
from jvp.libvirt.node import Node
from jvp.resources.storage_pool import StoragePool, StoragePools
from jvp.resources.template import Template, Templates
from jvp.resources.volume import Volume, Volumes

MIB = 1024 * 1024
MARKER = ".jvp-@pool.json"
_QUIET = ("Free", "Unref", "Ref", "GetName", "GetUUIDString", "GetConnect")


class Killed(BaseException):
    """What a killed process does not survive; no handler may catch it."""


class Spy:
    """libvirt's C module, with its calls noted, and the n-th of them the last."""

    def __init__(self, module: Any, at: int | None = None, *, done: bool = False) -> None:
        self._module, self._at, self._done = module, at, done
        self.names: list[str] = []
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if not callable(found) or name.endswith(_QUIET) or name.startswith(("virEvent", "virGet")):
            return found

        def call(*arguments: Any) -> Any:
            if self.dead:
                raise Killed
            number = len(self.names)
            self.names.append(name)
            if number == self._at and not self._done:
                self.dead = True
                raise Killed
            result = found(*arguments)
            if number == self._at:
                self.dead = True
                raise Killed
            return result

        return call


@contextlib.contextmanager
def spying(at: int | None = None, *, done: bool = False) -> Iterator[Spy]:
    """Note libvirt calls; with `at` die before that one is made, or with `done` before its answer is seen."""
    module = libvirt.libvirtmod
    spy = Spy(module, at, done=done)
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
        for name in ("_control", "_jobs"):
            connection = getattr(self.node, name)
            setattr(self.node, name, None)
            if connection is not None:
                with contextlib.suppress(libvirt.libvirtError):
                    connection.close()


def cuts(act: Callable[[Provider], Any], *, limit: int = 400, every: int = 1) -> Iterator[str]:
    """Run `act` in a provider that dies at its first libvirt call, then at its second, and so on to its end.

    After each death the caller checks and repairs; what is yielded says where it was. The node is left the same after
    a call and before the next one: with `every` 2 each state of it is met once.
    """
    for done in (False, True):
        for number in range(0, limit, every):
            provider = Provider()
            _ = provider.node.connection
            with spying(number, done=done) as spy:
                try:
                    act(provider)
                except Killed:
                    pass
                except Exception as error:
                    if not spy.dead:
                        raise AssertionError(f"failed before the cut: {error!r}") from error
            where = f"{'after' if done else 'before'} call {number} {spy.names[-1]}"
            alive = not spy.dead
            gc.collect()
            provider.exit()
            yield where
            if alive:
                break
        else:
            raise AssertionError(f"more than {limit} calls")


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
    """The key of an address in this run's program: another run of the tests at the same time has other ids."""
    return Key("", kind, f"{os.getpid()}/{address}", address)


def raw_image(path: Path, *, size: int = 8 * MIB, data: int = MIB, mark: bytes = b"") -> Path:
    """A raw disk with a boot sector and `data` random bytes after a hole."""
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(510)
        file.write(b"\x55\xaa")
        file.seek(2 * MIB)
        file.write(mark + os.urandom(data))
    return path
