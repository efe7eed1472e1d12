"""The provider is not root and not on the node: a user of the group libvirt, another host by TCP, a user's session."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.starting import Start

from hosts.daemon import Daemon, SessionHost, SystemHost, home_environment
from hosts.engine import Resources, Stack
from hosts.inventory import difference, inventory
from hosts.namespace import Namespace, User

pytestmark = [pytest.mark.engines, pytest.mark.usefixtures("pulumi_cli")]

MIB = 1 << 20


@pytest.fixture
def stack_for(hosts_folder: Path, started: Start) -> Callable[..., Stack]:
    """Makes a stack that a user runs inside of a namespace; without one, root here."""
    folder = hosts_folder / secrets.token_hex(3)  # short: the path of a warm process's socket in it must be

    def make(uri: str | None, namespace: Namespace | None = None, user: User | None = None, **more: str) -> Stack:
        folder.mkdir(mode=0o755)
        if namespace is None or user is None:
            return Stack(folder / "stack", uri)
        (folder / "home").mkdir()
        environment = more or home_environment(folder / "home", user)

        def wrap(argv: list[str], where: Path) -> list[str]:
            return namespace.command(*argv, user=user, folder=where)

        return Stack(folder / "stack", uri, environment=environment, wrap=wrap, owner=user.uid)

    return make


def image(folder: Path, owner: int | None = None) -> Path:
    """A small raw disk with a boot sector's mark, closed to everybody but its owner."""
    path = folder / "image.raw"
    path.write_bytes(b"\0" * 510 + b"\x55\xaa" + b"jvp" * 5000 + b"\0" * (2 * MIB))
    os.truncate(path, 4 * MIB)
    path.chmod(0o600)
    if owner is not None:
        os.chown(path, owner, owner)
    return path


def declared(pool: Path | None, source: Path, *, networks: bool = True, grown: bool = False) -> Resources:
    """One of everything; `grown` is the same program later."""
    nic: dict[str, Any] = {"name": "eth0", **({"network": "${net.id}"} if networks else {})}
    resources: dict[str, tuple[str, dict[str, Any]]] = {
        "net": ("Network", {"cidr": "192.168.77.0/24", "dhcp": {"end": "192.168.77.99" if grown else "192.168.77.50"}}),
        "pool": ("StoragePool", {"path": str(pool)} if pool else {}),
        "image": ("Template", {"pool": "${pool.id}", "source": {"path": str(source)}}),
        "data": ("Volume", {"pool": "${pool.id}", "size": "32MiB" if grown else "16MiB"}),
        "vm": (
            "Instance",
            {
                "memory": "96MiB" if grown else "64MiB",
                "template": "${image.id}",
                "disks": [{"name": "data", "volume": "${data.id}"}],
                "nics": [nic],
                "shutdownTimeout": "0s",
            },
        ),
    }
    if not networks:
        del resources["net"]
    return resources


def lifecycle(stack: Stack, daemon: Daemon | str, folder: Path, declare: Callable[[bool], Resources]) -> None:
    """up, nothing to do, a change, nothing to do, destroy, and the node is as it was."""
    uri = daemon if isinstance(daemon, str) else daemon.uri
    before = inventory(uri, folder)
    stack.declare(declare(False)).up().expect()
    stack.settled()
    stack.declare(declare(True)).up().expect()
    stack.settled()
    made = stack.resources()
    assert made["data"]["outputs"]["sizeBytes"] == 32 * MIB
    assert made["vm"]["outputs"]["powerState"] == "running"
    stack.destroy().expect()
    assert difference(before, inventory(uri, folder)) == ""


def forked(stack: Stack, namespace: Namespace, user: User) -> int:
    """How many plugins warm processes of this user have forked."""
    command = namespace.command(Path(sys.prefix, "bin", "jvp"), "warm", "status", user=user)
    done = subprocess.run(command, env=stack.environment, capture_output=True, text=True, timeout=60, check=True)
    return sum(int(count) for count in re.findall(r": (\d+) starts", done.stdout))


def test_an_ordinary_user_of_the_group_libvirt(
    group_node: SystemHost, member: User, stack_for: Callable[..., Stack], started: Start
) -> None:
    stack = stack_for(None, group_node.namespace, member)
    source = image(Path(stack.environment["HOME"]), member.uid)
    lifecycle(
        stack, group_node.daemon, group_node.pools, lambda grown: declared(group_node.pools / "p", source, grown=grown)
    )
    assert (forked(stack, group_node.namespace, member) > 0) == started.is_warm


def test_a_daemon_on_another_host(
    second_node: SystemHost, stack_for: Callable[..., Stack], tmp_path: Path, started: Start
) -> None:
    stack = stack_for(second_node.uri)
    source = image(tmp_path)
    lifecycle(
        stack, second_node.uri, second_node.pools, lambda grown: declared(second_node.pools / "p", source, grown=grown)
    )
    started.assert_kept()


def test_a_uri_that_leads_to_another_host_is_an_error(
    second_node: SystemHost, node: SystemHost, stack_for: Callable[..., Stack]
) -> None:
    """There nothing of the stack would be found, and everything be made once more."""
    stack = stack_for(second_node.uri)
    before, elsewhere = inventory(second_node.uri, second_node.pools), inventory(node.uri, node.pools)
    stack.declare({"net": ("Network", {"cidr": "192.168.77.0/24"})}).up().expect()
    stack.settled()
    made = inventory(second_node.uri, second_node.pools)
    stack("config", "set", "jvp:uri", node.uri).expect()
    # The engine reads with the settings of the run before; after this one it has the new ones.
    stack.up().expect()
    for run in (stack.up().fails(), stack.destroy().fails()):
        assert "and the provider's uri leads to the host" in run.text
        assert "set the uri back" in run.text
        assert 'run "pulumi up --refresh --run-program"' in run.text
    assert difference(elsewhere, inventory(node.uri, node.pools)) == ""
    assert difference(made, inventory(second_node.uri, second_node.pools)) == ""
    stack("config", "set", "jvp:uri", second_node.uri).expect()
    stack.up("--refresh", "--run-program").expect()
    stack.settled()
    stack.destroy().expect()
    assert difference(before, inventory(second_node.uri, second_node.pools)) == ""


def test_the_session_of_a_user(session_node: SessionHost, stack_for: Callable[..., Stack], started: Start) -> None:
    stack = stack_for("qemu:///session", session_node.namespace, session_node.user, **session_node.environment)
    image(session_node.home, session_node.user.uid)
    source = session_node.HOME / "image.raw"
    uri = f"qemu+unix:///session?socket={session_node.daemon.socket}"
    pools = session_node.home / ".local/share/jvp"
    lifecycle(stack, uri, pools, lambda grown: declared(None, source, networks=False, grown=grown))
    assert (forked(stack, session_node.namespace, session_node.user) > 0) == started.is_warm


def test_a_session_has_no_networks_and_says_so(session_node: SessionHost, stack_for: Callable[..., Stack]) -> None:
    stack = stack_for("qemu:///session", session_node.namespace, session_node.user, **session_node.environment)
    done = stack.declare({"net": ("Network", {"cidr": "192.168.77.0/24"})}).up().fails()
    assert done.errors("net") == ["a qemu:///session daemon has no virtual networks; use user-mode NICs there"]
    stack.destroy().expect()


def sentence(namespace: Namespace, user: User | None, uri: str) -> str:
    """What the provider says about a daemon that it cannot use, asked as a process of that user's."""
    code = (
        "import sys; from jvp.libvirt.link.node import Node; from jvp.core.errors import Unreachable\n"
        "try: Node(sys.argv[1]).connection\n"
        "except Unreachable as error: print(error)\n"
    )
    command = namespace.command(sys.executable, "-c", code, uri, user=user)
    name = user.name if user else "root"
    environment = {"PATH": "/usr/bin", "HOME": "/nonexistent", "USER": name, "LOGNAME": name}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return done.stdout.strip()


def test_a_user_outside_of_the_group_is_told_what_to_do(group_node: SystemHost, stranger: User) -> None:
    said = sentence(group_node.namespace, stranger, "qemu:///system")
    assert re.fullmatch(
        r'cannot connect to "qemu:///system": the socket (/var)?/run/libvirt/libvirt-sock does not admit the user '
        r'jvptstranger; add the user to the group "libvirt" \(sudo usermod -aG libvirt jvptstranger\) and log in again',
        said,
    )


def test_a_daemon_that_does_not_run(node: SystemHost) -> None:
    node.daemon.stop()
    said = sentence(node.namespace, None, "qemu:///system")
    assert "/run/libvirt/libvirt-sock" in said
    assert "start libvirtd there, or set the provider's uri" in said


def test_a_host_that_does_not_listen(node: SystemHost) -> None:
    node.daemon.stop()
    assert sentence(node.namespace, None, "qemu+tcp://127.0.0.1/system") == (
        'cannot connect to "qemu+tcp://127.0.0.1/system": 127.0.0.1:16509 does not answer (Connection refused); have '
        "libvirtd listen there, look at the firewall between, or set the provider's uri"
    )


def test_an_engine_is_told_in_one_sentence_too(
    group_node: SystemHost, stranger: User, stack_for: Callable[..., Stack]
) -> None:
    stack = stack_for(None, group_node.namespace, stranger)
    done = stack.declare({"pool": ("StoragePool", {"path": "/var/tmp/never"})}).up().fails()
    (said,) = done.errors("pool")
    assert "does not admit the user jvptstranger" in said
    assert "sudo usermod -aG libvirt jvptstranger" in said
