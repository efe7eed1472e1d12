"""What an engine starts: it has a warm process fork the plugin, or becomes the plugin itself.

Run as a script without `site`, or called by the installed commands. Nothing heavy is imported, not even `socket`: this
is a good part of what a warm start takes.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Sequence

DOORS = {"pulumi": "jvp.doors.pulumi.plugin", "terraform": "jvp.doors.terraform.plugin"}
PROCESS = "jvp.warm.process"
SCRIPT = os.path.abspath(__file__)
"""What installed launchers start, without `site`."""
_BESIDE = os.path.dirname(os.path.dirname(os.path.dirname(SCRIPT)))
"""The folder that our package lies in."""
PATIENCE_S = 0.2
"""So long the warm process may take to answer; a plain start takes little longer."""
READY, GO = b"r", b"g"
_OFF = ("off", "0", "no", "false")
_MAY_PROMPT = ("ssh", "libssh")
"""Transports of a uri that may ask for a password on the terminal, which a warm process does not have."""


def pulumi() -> int:
    """`pulumi-resource-jvp`."""
    return launch("pulumi", sys.argv[1:])


def terraform() -> int:
    """`terraform-provider-jvp`."""
    return launch("terraform", sys.argv[1:])


def launch(door: str, arguments: Sequence[str]) -> int:
    """The plugin's exit code, if it comes back at all."""
    if is_wanted(door, arguments):
        try:
            code = _warm(door, arguments)
        except OSError:
            code = None
        if code is not None:
            _end(code)
    if "site" not in sys.modules and not _find_packages():
        os.execv(sys.executable, [sys.executable, "-P", "-m", DOORS[door], *arguments])
    sys.argv[1:] = arguments
    import importlib

    return int(importlib.import_module(DOORS[door]).main() or 0)


def _find_packages() -> bool:
    """Do late what a script without `site` did not: another Python would take 10 ms to start.

    False where that is not enough: the environment asks Python for more, the user has packages, or they are elsewhere.
    """
    if any(name.startswith("PYTHON") for name in os.environ):
        return False
    import site

    sys.path.remove(_BESIDE)  # before Python's own modules it would hide those that others there are called like
    own = len(sys.path)
    site.main()
    if sys.base_prefix in site.PREFIXES and os.path.isdir(site.getusersitepackages()):
        return False  # -I leaves these out
    if _BESIDE not in sys.path:
        sys.path.insert(own, _BESIDE)
    return any(os.path.isdir(f"{folder}/grpc") for folder in sys.path)


def is_wanted(door: str, arguments: Sequence[str]) -> bool:
    """Whether this is an engine's launch for which a warm start is as good as a plain one."""
    if os.environ.get("JVP_WARM", "").lower() in _OFF or not sys.platform.startswith("linux"):
        return False
    if "PYTHONPATH" in os.environ or "PYTHONHOME" in os.environ:  # other code than the installed one
        return False
    if any(transport in os.environ.get("LIBVIRT_DEFAULT_URI", "").partition(":")[0] for transport in _MAY_PROMPT):
        return False
    if door == "terraform":
        return "TF_PLUGIN_MAGIC_COOKIE" in os.environ and not arguments
    return bool(arguments) and not any(argument in ("-h", "-help", "--help", "--version") for argument in arguments)


def _warm(door: str, arguments: Sequence[str]) -> int | None:
    """The exit code of a plugin that a warm process made; None where none was made. Raises OSError."""
    from jvp.warm import place

    folder = place.folder()
    if folder is None:
        return None
    package = os.path.dirname(os.path.dirname(SCRIPT))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = f"{os.path.dirname(os.path.dirname(sys.executable))}/lib/{version}/site-packages"
    path = f"{folder}/{place.name(package, sys.executable, packages)}"
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(PATIENCE_S)
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            _start_one(path)
            return None
        # Who listens in a folder of ours should be of our user.
        credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        if int.from_bytes(credentials[4:8], sys.byteorder) != os.getuid():
            return None
        hand_over(connection, door, arguments)
        answer = connection.recv(5)
        if len(answer) < 5 or answer[:1] != READY:
            return None
        child = os.pidfd_open(int.from_bytes(answer[1:], "little"))
        return _accompany(connection, child)
    finally:
        connection.close()  # a child that was not told to go ends by this


def hand_over(connection: socket, door: str, arguments: Sequence[str]) -> None:
    """Everything that a process has from its parent, as one message with descriptors."""
    import _socket

    umask = os.umask(0o077)
    os.umask(umask)
    fields = [door.encode(), b"%d" % umask, b"%d" % os.getpid(), b"%d" % len(arguments), *map(os.fsencode, arguments)]
    fields += [name + b"=" + value for name, value in os.environb.items()]
    message = b"\0".join(fields)
    here = os.open(".", os.O_PATH | os.O_DIRECTORY)
    descriptors = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2, here))
    connection.sendmsg([len(message).to_bytes(4, "little")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    connection.sendall(message)
    os.close(here)


def _accompany(connection: socket, child: int) -> int:
    """Pass signals on until the child has ended; its exit code, negative for a signal."""
    import _signal

    def pass_on(number: int, _frame: object) -> None:
        try:
            _signal.pidfd_send_signal(child, number)
        except OSError:  # just gone
            return

    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
        number = getattr(_signal, name)
        if _signal.getsignal(number) != _signal.SIG_IGN or name in ("SIGINT", "SIGTERM"):
            _signal.signal(number, pass_on)
    connection.settimeout(None)
    connection.sendall(GO)
    # The descriptors are the child's now: an end of file is to mean that it has closed them.
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    try:
        told = connection.recv(16)
    except OSError:
        told = b""
    if told:
        return int(told)
    pass_on(_signal.SIGKILL, None)  # the warm process is gone, and cannot say any more how this ends
    return 1


def _end(code: int) -> None:
    """End as the plugin ended."""
    if code < 0:
        import _signal

        if -code != _signal.SIGKILL:  # for which there is no other way
            _signal.signal(-code, _signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def _start_one(path: str) -> None:
    """Start a warm process for the next launch. It keeps nothing of this one: no terminal, pipe, folder or lock."""
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        from jvp.warm.place import READ_AT_IMPORT

        kept = ("PATH", "HOME", "XDG_RUNTIME_DIR")
        environment = {
            name: value for name, value in os.environ.items() if name in kept or name.startswith(READ_AT_IMPORT)
        }
        os.chdir("/")
        os.umask(0o077)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        os.closerange(3, _last_descriptor() + 1)
        os.execve(sys.executable, [sys.executable, "-P", "-m", PROCESS, path], environment)
    finally:
        os._exit(1)


def _last_descriptor() -> int:
    return max(map(int, os.listdir("/proc/self/fd")))


if __name__ == "__main__":
    # python -IS .../jvp/warm/launcher.py DOOR ARGUMENTS
    sys.path.insert(0, _BESIDE)
    sys.exit(launch(sys.argv[1], sys.argv[2:]))
