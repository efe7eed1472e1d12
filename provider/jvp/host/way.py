"""How a command gets to a node: as a process of this machine, or through ssh with the login of the node's uri."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from jvp.core.errors import Invalid, Rejected
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node

CONNECT_S = 10
_AS_ROOT = ("sudo", "-n", "--")
_SBIN = "/usr/sbin", "/sbin"
"""Where programs of the system are, which the path of an ordinary user leaves out."""


@dataclass(frozen=True)
class Way:
    """`login` is the ssh command up to the host, and nothing for this machine."""

    login: tuple[str, ...] = ()
    user: str | None = None
    """Of the login, where the uri has one."""

    def command(self, argv: Sequence[str], *, root: bool) -> list[str]:
        """What to run here to have `argv` run there. `root`: who logs in is root already."""
        whole = [*(() if root else _AS_ROOT), *argv]
        return [*self.login, quoted(whole)] if self.login else whole

    @property
    def is_root(self) -> bool | None:
        """Whether who logs in is root; None where only the node can tell."""
        if not self.login:
            return os.geteuid() == 0
        return True if self.user == "root" else None


def quoted(argv: Sequence[str]) -> str:
    """The arguments as one word each of a shell's line: sshd joins what it is given, and has a shell read it.

    Raises Invalid for what no argument can hold.
    """
    if any("\0" in one for one in argv):
        raise Invalid("a NUL cannot be in a command's argument")
    return shlex.join(argv)


def way_to(node: Node) -> Way:
    """The way to a node. Raises Rejected in one sentence where there is none, Unreachable."""
    if not node.is_known:
        raise Rejected("the provider's uri is known only after the apply")
    parts = urlsplit(node.uri)
    transport = parts.scheme.partition("+")[2]
    if "ssh" in transport:
        return Way(_ssh(node.uri), unquote(parts.username) if parts.username else None)
    if not parts.hostname and transport in ("", "unix"):
        with libvirt_errors(f'the node "{node.shown}"'):
            here = node.is_here
        if here:
            return Way()
        raise Rejected(
            f'"{node.shown}" leads to a node that is not this machine, and without ssh no command runs there'
        )
    raise Rejected(f'"{node.shown}" lets no command run on the node; use a uri like qemu+ssh://root@host/system')


def _ssh(uri: str) -> tuple[str, ...]:
    """The ssh command with the uri's own login. Source: virDoRemoteOpen, whose parameters these are."""
    parts, asked = urlsplit(uri), parse_qs(urlsplit(uri).query)
    # Its warnings would stand before what the command says.
    options = ["BatchMode=yes", "LogLevel=ERROR", f"ConnectTimeout={CONNECT_S}"]
    if asked.get("known_hosts"):
        options.append(f"UserKnownHostsFile={asked['known_hosts'][0]}")
    if asked.get("no_verify", ["0"])[0] == "1" or asked.get("known_hosts_verify", [""])[0] == "ignore":
        options.append("StrictHostKeyChecking=no")
    command = [asked.get("command", ["ssh"])[0], "-T", "-e", "none"]
    for option in options:
        command += ["-o", option]
    if parts.port:
        command += ["-p", str(parts.port)]
    if parts.username:
        command += ["-l", unquote(parts.username)]
    if asked.get("keyfile"):
        command += ["-i", asked["keyfile"][0]]
    return (*command, "--", parts.hostname or "")


def environment() -> dict[str, str]:
    """For a process of this machine: messages as their authors wrote them, and the system's programs on the path."""
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return {**os.environ, "LC_ALL": "C", "PATH": os.pathsep.join([*path, *(one for one in _SBIN if one not in path)])}
