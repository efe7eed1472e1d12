"""libvirt's errors in our words: one test per text that is matched, and one per code."""

from __future__ import annotations

import getpass
import re

import libvirt
import pytest

from jvp.core import parent
from jvp.core.errors import Busy, JvpError, NameTaken, NoSpace, Rejected, Unreachable
from jvp.libvirt.link import errors
from jvp.libvirt.link.errors import (
    Gone,
    connect_error,
    is_beyond_resume,
    is_gone,
    is_without_kvm,
    libvirt_errors,
    reason,
    start_errors,
    translated,
)

OTHER = libvirt.VIR_ERR_OPERATION_FAILED
INTERNAL = libvirt.VIR_ERR_INTERNAL_ERROR


def error(code: int, text: str) -> libvirt.libvirtError:
    made = libvirt.libvirtError(text)
    made.err = (code, libvirt.VIR_FROM_QEMU, text, libvirt.VIR_ERR_ERROR, "", "", "", 0, 0)
    return made


LOST = [
    "internal error: client socket is closed",
    "End of file while reading data: Input/output error",
    "Cannot recv data: Connection reset by peer",
    "connection was reset",
    "Cannot write data: Broken pipe",
    "internal error: connection closed due to keepalive timeout",
    "server closed connection",
    "Cannot send data: Transport endpoint is not connected",
    "cannot read data: x",
    "internal error: connection closed",
]
BUSY = [
    "Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainSave)",
    "internal error: pool 'p' has asynchronous jobs running.",
    "Requested operation is not valid: volume 'v' is in use by another process",
    "Requested operation is not valid: volume 'v' is still being allocated.",
    "cannot open file: Device or resource busy",
    "operation failed: another migration job is already running for domain 'd'",
    "Requested operation is not valid: volume 'v' is in use.",
    "Requested operation is not valid: volume 'v' is still in use.",
]
NO_SPACE = ["cannot fill file '/x': No space left on device", "cannot allocate: Disk quota exceeded"]
NO_FILE = ["internal error: Volume path '/p/a' is a FIFO", "unexpected type for '/p/a'"]
TAKEN = [
    "volume target path '/p/v' already exists",
    "internal error: volume target path '/p/v' already exists in pool",
    "operation failed: network 'lan' already exists with uuid a0d72e9f-2d8d-4660-b669-00cd55972754",
    "operation failed: pool 'p' already exists with uuid a0d72e9f-2d8d-4660-b669-00cd55972754",
    "operation failed: domain 'web' already exists with uuid a0d72e9f-2d8d-4660-b669-00cd55972754",
]


@pytest.mark.parametrize("text", LOST)
@pytest.mark.parametrize("code", sorted(errors._CONNECTION_LOST))
def test_a_lost_connection_is_unreachable(code: int, text: str) -> None:
    found = translated(error(code, text), 'network "a"', ("cidr",))
    assert type(found) is Unreachable
    assert found.message.startswith('network "a": lost the connection to libvirtd (')
    assert found.message.endswith("run the command again")
    assert found.path == ("cidr",)


@pytest.mark.parametrize("text", LOST)
def test_the_same_words_of_another_code_are_no_lost_connection(text: str) -> None:
    assert not isinstance(translated(error(OTHER, text), "x"), Unreachable)


@pytest.mark.parametrize(
    "text",
    [
        "End of file while reading data: Input/output error",
        "Cannot recv data: Connection reset by peer",
        "Cannot write data: Broken pipe",
    ],
)
def test_a_connection_that_ends_while_the_daemon_is_asked_is_lost(text: str) -> None:
    ended = error(libvirt.VIR_ERR_SYSTEM_ERROR, text)
    ended.err = (ended.err[0], libvirt.VIR_FROM_RPC, *ended.err[2:])
    assert type(translated(ended, "x")) is Unreachable


@pytest.mark.parametrize("text", BUSY)
def test_busy(text: str) -> None:
    found = translated(error(OTHER, text), 'volume "v"')
    assert type(found) is Busy
    assert found.message.endswith("wait for the other operation and run the command again")


def test_a_timeout_is_busy() -> None:
    assert type(translated(error(libvirt.VIR_ERR_OPERATION_TIMEOUT, "Timed out"), "x")) is Busy


@pytest.mark.parametrize("text", NO_SPACE)
def test_no_space(text: str) -> None:
    assert type(translated(error(libvirt.VIR_ERR_SYSTEM_ERROR, text), "x")) is NoSpace


def test_addresses_of_the_node_itself() -> None:
    found = translated(error(INTERNAL, "internal error: Network is already in use by interface eth0"), "x", ("cidr",))
    assert found.message == "x: the node has these addresses on its interface eth0 already"


@pytest.mark.parametrize(
    "text",
    [
        "Failed to create file '/p/v': Read-only file system",
        "internal error: Child process (/usr/bin/qemu-img resize /p/v 3145728) unexpected exit status 1: qemu-img: "
        "Could not open '/p/v': Read-only file system",
    ],
)
def test_a_file_system_that_is_read_only(text: str) -> None:
    found = translated(error(libvirt.VIR_ERR_SYSTEM_ERROR, text), 'volume "v"', ("size",))
    assert type(found) is Rejected
    assert found.message == (
        'volume "v": it is on a file system that is read-only; mount it for writing, and run again'
    )
    assert found.path == ("size",)


def test_a_file_that_no_file_system_takes_has_no_space() -> None:
    found = translated(error(libvirt.VIR_ERR_SYSTEM_ERROR, "cannot extend file '/x': File too large"), "x")
    assert type(found) is NoSpace
    assert found.message == "x: the node's file system takes no file so large"


@pytest.mark.parametrize("text", TAKEN)
def test_a_file_in_the_way_is_a_taken_name(text: str) -> None:
    assert type(translated(error(OTHER, text), "x")) is NameTaken


def test_an_existing_volume_is_a_taken_name() -> None:
    assert (
        type(translated(error(libvirt.VIR_ERR_STORAGE_VOL_EXIST, "storage volume 'v' exists already"), "x"))
        is NameTaken
    )


@pytest.mark.parametrize("code", sorted(errors._REFUSED))
def test_refused_by_access_control(code: int) -> None:
    found = translated(error(code, "access denied"), "x")
    assert type(found) is Rejected
    assert "libvirt does not allow it to this user" in found.message


def test_everything_else_is_rejected_with_the_reason() -> None:
    found = translated(error(INTERNAL, "internal error: something new\n  happened."), 'network "a"')
    assert type(found) is Rejected
    assert found.message == 'network "a": something new happened'


@pytest.mark.parametrize(
    ("pattern", "samples"),
    [
        (errors._LOST, LOST),
        (errors._BUSY, BUSY),
        (errors._NO_SPACE, NO_SPACE),
        (errors._TAKEN, TAKEN),
        (errors._NO_FILE, NO_FILE),
    ],
)
def test_every_alternative_is_matched_by_a_sample(pattern: re.Pattern[str], samples: list[str]) -> None:
    shown = [reason(error(OTHER, text)) for text in samples]
    for alternative in _alternatives(pattern.pattern):
        assert any(re.search(alternative, text, pattern.flags) for text in shown), alternative


def _alternatives(pattern: str) -> list[str]:
    """Split at each `|` that stands in no group."""
    parts, depth, current = [], 0, ""
    for char in pattern:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "|" and not depth:
            parts.append(current)
            current = ""
        else:
            current += char
    return [*parts, current]


@pytest.mark.parametrize(
    "text",
    ["internal error: x.", "operation failed: x", "unsupported configuration: x", "invalid argument: x",
     "Requested operation is not valid: x", "XML error: x", "internal error x", "  x \n"],
)  # fmt: skip
def test_the_class_of_error_is_left_out(text: str) -> None:
    assert reason(error(OTHER, text)) == "x"


def test_a_reason_is_one_line_and_not_endless() -> None:
    assert len(reason(error(OTHER, "a\n" * 5000))) <= 600
    assert "\n" not in reason(error(OTHER, "a\n" * 5000))


@pytest.mark.parametrize("kind", list(Gone))
def test_gone_is_one_code_per_kind(kind: Gone) -> None:
    assert is_gone(error(int(kind), "x"), kind)
    for other in {*Gone} - {kind}:
        assert not is_gone(error(int(other), "x"), kind)
    assert not is_gone(error(INTERNAL, "no domain with matching uuid"), kind)


def test_the_context_manager_translates_and_hides_the_cause() -> None:
    with pytest.raises(JvpError) as caught, libvirt_errors("x", ("a",)):
        raise error(OTHER, "no")
    assert caught.value.path == ("a",)
    assert caught.value.__suppress_context__
    with pytest.raises(ValueError, match="y"), libvirt_errors("x"):
        raise ValueError("y")


CLOSED = "internal error: qemu unexpectedly closed the monitor: 2026-01-01T00:00:00.0Z qemu-system-x86_64: "
PATHS: dict[str, errors.Path] = {"memory": ("memory",), "kernel": ("directKernel", "kernel"), "kvm": ("virtType",)}


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        (CLOSED + "cannot set up guest memory 'pc.ram': Cannot allocate memory", "memory", "not have so much memory"),
        (
            "internal error: qemu unexpectedly closed the monitor: qemu: invalid kernel header",
            "kernel",
            "QEMU can boot",
        ),
        (CLOSED + "error: failed to set MSR 0x10a to 0x69", "kvm", "KVM does not work on this node"),
        (CLOSED + "failed to initialize kvm: Permission denied", "kvm", "KVM does not work on this node"),
        ("Could not access KVM kernel module: No such file or directory", "kvm", "KVM does not work on this node"),
    ],
)
def test_why_a_guest_does_not_start(text: str, path: str, says: str) -> None:
    with pytest.raises(Rejected, match=says) as caught, start_errors("x", PATHS, {"/k": ("k",)}):
        raise error(INTERNAL, text)
    assert caught.value.path == PATHS[path]


@pytest.mark.parametrize(
    "text",
    ["unable to stat: /boot/k: No such file", CLOSED + "qemu: could not load kernel '/boot/k': No such file",
     CLOSED + "qemu: error reading initrd /boot/k: No such file"],
)  # fmt: skip
def test_a_file_that_the_node_cannot_load_is_named(text: str) -> None:
    with pytest.raises(Rejected) as caught, start_errors("x", {}, {"/boot": ("a",), "/boot/k": ("b",)}):
        raise error(INTERNAL, text)
    assert (caught.value.path, caught.value.message) == (("b",), 'x: the node cannot load "/boot/k": No such file')


def test_another_reason_not_to_start_passes() -> None:
    with pytest.raises(libvirt.libvirtError), start_errors("x", PATHS, {"/k": ("k",)}):
        raise error(INTERNAL, "internal error: something new")


NO_SOCKET = "Failed to connect socket to '/run/libvirt/libvirt-sock': No such file or directory"
REFUSED = NO_SOCKET.replace("No such file or directory", "Connection refused")
DENIED = NO_SOCKET.replace("No such file or directory", "Permission denied")

NO_BUS = "internal error: Unable to get system bus connection: Could not connect: No such file or directory"


def test_a_node_without_dbus() -> None:
    found = translated(error(INTERNAL, NO_BUS), "network x")
    assert type(found) is Rejected
    assert found.message.startswith(
        "network x: libvirtd needs D-Bus there, which does not answer (Unable to get system"
    )


def test_guests_that_cannot_go_on() -> None:
    said = "internal error: unable to execute QEMU command 'cont': Resetting the Virtual Machine is required"
    assert is_beyond_resume(error(INTERNAL, said))
    assert not is_beyond_resume(error(INTERNAL, "internal error: unable to execute QEMU command 'cont': locked"))
    assert is_without_kvm(error(INTERNAL, "internal error: process exited: failed to initialize kvm: Invalid argument"))
    assert not is_without_kvm(error(INTERNAL, "internal error: process exited: cannot set up guest memory"))


@pytest.mark.parametrize(
    ("code", "text", "advice"),
    [
        (libvirt.VIR_ERR_SYSTEM_ERROR, NO_SOCKET, "nothing listens on /run/libvirt/libvirt-sock; start libvirtd there"),
        (libvirt.VIR_ERR_SYSTEM_ERROR, REFUSED, "nothing listens on /run"),
        (libvirt.VIR_ERR_SYSTEM_ERROR, DENIED,
         'does not admit the user ME; add the user to the group "libvirt" (sudo usermod -aG libvirt ME)'),
        (INTERNAL, NO_BUS, 'libvirtd needs D-Bus there, which does not answer (Unable to get system bus connection: '),
        (INTERNAL, NO_BUS, 'start it ("systemctl start dbus") and then libvirtd, or have libvirtd ask no polkit'),
        (libvirt.VIR_ERR_AUTH_UNAVAILABLE, "authentication unavailable: no polkit agent", 'the group "libvirt"'),
        (INTERNAL, "polkit: not authorized", 'add the user to the group "libvirt"'),
        (INTERNAL, "authentication failed", 'add the user to the group "libvirt"'),
        (libvirt.VIR_ERR_NO_CONNECT, "no connection driver available for foo:///", "a uri looks like qemu:///system"),
        (INTERNAL, "failed to parse URI 'x'", "a uri looks like qemu:///system"),
        (INTERNAL, "unable to connect to server at 'h:16509': No route to host", "No route to host"),
        (INTERNAL, "Unable to resolve address 'h' service '16509': Name or service not known", 'there is no host "h"'),
        (libvirt.VIR_ERR_SYSTEM_ERROR, "Cannot recv data: ssh: connect to host h: refused: Connection reset by peer",
         "ssh: connect to host h: refused; try the same login by hand with ssh"),
    ],
)  # fmt: skip
def test_why_a_daemon_cannot_be_reached(code: int, text: str, advice: str) -> None:
    found = connect_error("qemu:///system", error(code, text))
    assert type(found) is Unreachable
    assert found.message.startswith('cannot connect to "qemu:///system": ')
    assert advice.replace("ME", getpass.getuser()) in found.message


LOGGED = "E1127 13:48:01.805659   29362 completion_queue.cc:800] Kick failed: UNKNOWN:eventfd_write: x (9)"
SSH = "ssh: connect to host h: refused"
REASON = f"{SSH}; try the same login by hand with ssh, or set the provider's uri"
ENDED = "ssh ended and did not say why"


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (f"Cannot recv data: {LOGGED}\n{SSH}: Connection reset by peer", REASON),
        (f"Cannot recv data: {SSH}\n{LOGGED}: Connection reset by peer", REASON),
        (f"Cannot recv data: {LOGGED}\n{LOGGED}: Connection reset by peer", ENDED),
        ("Cannot recv data: : Connection reset by peer", ENDED),
        ("Cannot write data: Broken pipe", ENDED),
        ("internal error: client socket is closed", ENDED),
    ],
)
def test_why_ssh_does_not_lead_there_is_said_by_ssh_alone(text: str, advice: str) -> None:
    found = connect_error("qemu+ssh://h/system", error(libvirt.VIR_ERR_SYSTEM_ERROR, text))
    assert found.message.startswith(f'cannot connect to "qemu+ssh://h/system": {advice}')
    assert "E1127" not in found.message


@pytest.mark.parametrize(
    ("uri", "text", "warm", "told"),
    [
        ("qemu+ssh://h/system", "Cannot recv data: Permission denied (publickey,password).", True, True),
        ("qemu+ssh://h/system", "Cannot recv data: Host key verification failed.", True, True),
        ("qemu+ssh://h/system", "Cannot recv data: ", True, True),
        ("qemu+libssh2://h/system", "authentication failed", True, True),
        ("qemu+ssh://h/system", "Cannot recv data: Permission denied (publickey,password).", False, False),
        ("qemu+ssh://h/system", f"Cannot recv data: {SSH}", True, False),
        ("qemu+tls://h/system", "authentication failed", True, False),
    ],
)
def test_a_login_that_fails_in_a_warm_plugin_is_said_to_have_no_terminal(
    uri: str, text: str, warm: bool, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parent, "_launcher", 1 if warm else None)
    found = connect_error(uri, error(libvirt.VIR_ERR_SYSTEM_ERROR, f"{text}: Connection reset by peer"))
    assert ("no terminal on which ssh could ask: use an agent, or set JVP_WARM=off" in found.message) == told
