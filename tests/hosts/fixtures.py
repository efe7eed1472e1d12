"""Fixtures for every tier that wants a daemon of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts import daemon, engine
from hosts.daemon import SessionHost, SystemHost
from hosts.namespace import User, free_uid


@pytest.fixture(scope="session")
def hosts_folder() -> Iterator[Path]:
    """A folder that QEMU's user can reach; pytest's own are closed to it."""
    if why := daemon.missing():
        pytest.skip(why)
    folder = Path("/var/tmp") / f"jvpt{os.getpid():x}{secrets.token_hex(2)}"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def second_node(hosts_folder: Path) -> Iterator[SystemHost]:
    """Another node, reached by TCP."""
    host = SystemHost(hosts_folder / "node", f"{hosts_folder.name}-node", tcp=1)
    with contextlib.closing(host):
        yield host


@pytest.fixture
def node(hosts_folder: Path) -> Iterator[SystemHost]:
    """A node for one test, which may do to it what it likes."""
    host = SystemHost(hosts_folder / secrets.token_hex(3), f"{hosts_folder.name}-one", tcp=2)
    with contextlib.closing(host):
        yield host


@pytest.fixture(scope="session")
def member() -> User:
    """An ordinary user in the group of libvirt."""
    group = daemon.libvirt_group()
    if group is None:
        pytest.skip("there is no group libvirt on this machine")
    return User("jvptmember", free_uid(), (group,))


@pytest.fixture(scope="session")
def stranger() -> User:
    """An ordinary user in no group."""
    return User("jvptstranger", free_uid() + 1)


@pytest.fixture(scope="session")
def group_node(hosts_folder: Path, member: User, stranger: User) -> Iterator[SystemHost]:
    """A daemon that admits the group libvirt by its socket, as Debian's does without polkit."""
    settings = 'auth_unix_rw = "none"\nunix_sock_group = "libvirt"\nunix_sock_rw_perms = "0770"\n'
    users = (member, stranger)
    host = SystemHost(hosts_folder / "group", f"{hosts_folder.name}-group", users=users, libvirtd=settings)
    with contextlib.closing(host):
        yield host


@pytest.fixture(scope="session")
def session_node(hosts_folder: Path) -> Iterator[SessionHost]:
    """The daemon of one ordinary user."""
    user = User("jvptuser", free_uid() + 2)
    host = SessionHost(hosts_folder / "session", f"{hosts_folder.name}-session", user)
    with contextlib.closing(host):
        yield host


@pytest.fixture(scope="session")
def pulumi_cli() -> None:
    """Skips where the engine is not there."""
    if why := engine.missing():
        pytest.skip(why)
