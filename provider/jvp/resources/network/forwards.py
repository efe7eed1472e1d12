"""Port forwards of networks on their node: whether they can be, how they come and go, and which of them hold.

The rules lie in a table of the packet filter, one for each network, and in a file that the node reads when it starts.
Both are there as long as the network is, also while it stands: whoever starts it may be the node.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from jvp.core.errors import Invalid, JvpError, Rejected, Unreachable
from jvp.core.text import shortened
from jvp.core.types import address_of, is_uuid
from jvp.core.work import Work
from jvp.host import running
from jvp.host.way import way_to
from jvp.libvirt.link import told
from jvp.libvirt.link.errors import Gone, unless_gone
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, value
from jvp.libvirt.network.networks import NetworkApi
from jvp.resources.network.forward_model import PortForward
from jvp.resources.network.forward_record import recorded, ruleset_of
from jvp.resources.network.ruleset import Ruleset, table_of
from jvp.resources.network.sockets import Socket, sockets

FOLDER = "/etc/libvirt/jvp-forwards"
"""root alone writes here: what lies in it is run as root. The user of the REST service may own `/var/lib/jvp`."""
UNIT = "jvp-forwards.service"
_UNIT_PATH = f"/etc/systemd/system/{UNIT}"
UNIT_TEXT = f"""\
[Unit]
Description=Port forwards of the networks of JVP
Documentation=https://www.netfilter.org/projects/nftables/
# Both begin with an empty packet filter, at each start and reload.
After=nftables.service firewalld.service
# A network never runs without its table.
Before=libvirtd.service virtnetworkd.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/env nft 'include "{FOLDER}/*.nft"'
ExecReload=/usr/bin/env nft 'include "{FOLDER}/*.nft"'

[Install]
WantedBy=multi-user.target nftables.service
"""
_ENABLED = "has the unit of port forwards"
_ABSENT = "No such file or directory"
"""What nft says of a table that is not there, in every language that we let it speak."""


def refuse(
    work: Work, api: NetworkApi, forwards: Sequence[PortForward], uuid: str, had: Sequence[PortForward] = ()
) -> None:
    """Raise the error of forwards that cannot be: no command runs on the node, or a port is taken there.

    Those that the network `had` are not asked about. Raises libvirtError.
    """
    if not forwards:
        return
    others = [*_others(api, uuid)]
    kept = {one.meaning[1:4] for one in had}
    fresh = [one for one in forwards if one.meaning[1:4] not in kept]
    with _of_forwards():
        nft(work, api.node, "list", "tables")
        listening = sockets(work, api.node) if fresh else []
    for index, one in enumerate(forwards):
        path = ("portForwards", index, "hostPort" if one.host_port is not None else "hostPorts")
        for name, theirs in others:
            if one.meets(theirs):
                raise Invalid(f'the network "{name}" forwards that port of the node already', path=path)
        taken = next((socket for socket in listening if one in fresh and _in_the_way(one, socket)), None)
        if taken is not None:
            raise Invalid(
                f"something on the node listens on {one.protocol} port {taken.port} already; take another port, "
                "or a hostAddress on which it does not listen",
                path=path,
            )


@contextlib.contextmanager
def _of_forwards() -> Iterator[None]:
    """Errors of commands on the node are those of the port forwards: of the node itself libvirt tells."""
    try:
        yield
    except Unreachable as error:
        raise Rejected(error.message, path=("portForwards",)) from None
    except JvpError as error:
        raise (error if error.path else error.at("portForwards")) from None


def _others(api: NetworkApi, uuid: str) -> Iterator[tuple[str, PortForward]]:
    """The forwards of all other networks, with the network's name."""
    for network in api.node.connection.listAllNetworks(0):
        if network.UUIDString() == uuid:
            continue
        with unless_gone(Gone.NETWORK):
            yield from ((network.name(), one) for one in recorded(api.inactive(network)))


def _in_the_way(one: PortForward, socket: Socket) -> bool:
    if one.protocol != socket.protocol or not one.span[0] <= socket.port <= one.span[1] or socket.address.is_loopback:
        return False
    if socket.address.is_unspecified:
        # One on all of IPv6 has IPv4 as well, unless it says so, which nobody sees from outside.
        return socket.address.version == 6 or address_of(one.to).version == 4
    if one.host_address:
        return address_of(one.host_address) == socket.address
    return address_of(one.to).version == socket.address.version


def settle(work: Work, api: NetworkApi, root: Element) -> None:
    """Have the forwards of a network hold as its inactive definition says; none any more where none are.

    Before it starts, so that it never runs without its table. Again: yes. Raises JvpError, libvirtError.
    """
    node, rules = api.node, ruleset_of(root)
    if not rules.forwards:
        remove(work, node, rules.uuid)
        return
    path = _file(rules.uuid)
    with _of_forwards():
        _written(work, node, path, "600", rules.text)
        # One that nft does not take would keep the others from being read when the node starts.
        nft(work, node, "-c", "-f", f"{path}.new")
        _moved(work, node, path)
        _enable(work, node)
        _tidied(work, api)
        # Last: by what holds now a read tells whether anything is left to do.
        nft(work, node, "-f", path)
    _note(node, root, rules)


def _written(work: Work, node: Node, path: str, mode: str, text: str) -> None:
    """Write a file beside `path`. A login's standard input is a socket, which nothing can open as a file."""
    running.done(node, work, ["install", "-D", "-m", mode, "/dev/null", f"{path}.new"])
    running.done(node, work, ["tee", f"{path}.new"], text.encode())


def _moved(work: Work, node: Node, path: str) -> None:
    running.done(node, work, ["mv", "-f", f"{path}.new", path])


def remove(work: Work, node: Node, uuid: str) -> None:
    """Take a network's table away, and its file. Again: yes. Raises JvpError."""
    table = table_of(uuid)
    with _of_forwards():
        running.done(node, work, ["rm", "-f", _file(uuid), f"{_file(uuid)}.new"])
        nft(work, node, f"add table inet {table}; delete table inet {table}")


def _tidied(work: Work, api: NetworkApi) -> None:
    """Remove what networks left that were undefined without us: it would be read whenever the node starts."""
    names = running.done(api.node, work, ["ls", FOLDER]).decode(errors="replace").split()
    # Looked at after the files: a network is there before its file is.
    there = {network.UUIDString() for network in api.node.connection.listAllNetworks(0)}
    for uuid in {name.partition(".")[0] for name in names if name.endswith((".nft", ".nft.new"))} - there:
        if is_uuid(uuid):
            remove(work, api.node, uuid)


def remove_left(work: Work, node: Node, uuid: str) -> None:
    """Before a network without forwards is made: remove what one of the same id left that was undefined without us.

    On this machine alone, where it takes no command to see that there is nothing. Raises JvpError.
    """
    left = False
    with contextlib.suppress(OSError, Rejected):
        left = Path(_file(uuid)).exists() and not way_to(node).login
    if left:
        remove(work, node, uuid)


def held(work: Work, node: Node, root: Element) -> list[PortForward]:
    """Which of the forwards of a network that runs hold, and others that somebody added. Raises JvpError."""
    rules = ruleset_of(root)
    _note(node, root, rules)
    listing = _listed(work, node, table_of(rules.uuid))
    return [] if listing is None else rules.found_in(told.json_of(listing))


def _note(node: Node, root: Element, rules: Ruleset) -> None:
    node.forwarding |= {rules.uuid: rules.bridge, value(root, "name") or "": rules.bridge}


def _listed(work: Work, node: Node, table: str) -> bytes | None:
    """What nft tells of a table as JSON; None where there is none."""
    ran = running.run(node, work, ["nft", "-j", "list", "table", "inet", table])
    if ran.status != 0 and _ABSENT not in ran.error:
        raise _failed(node, ran.error)
    return ran.out if ran.status == 0 else None


def nft(work: Work, node: Node, *arguments: str) -> bytes:
    """What nft says. Raises Rejected in one sentence, JvpError."""
    ran = running.run(node, work, ["nft", *arguments])
    if ran.status != 0:
        raise _failed(node, ran.error)
    return ran.out


def _failed(node: Node, why: str) -> Rejected:
    return Rejected(f'the packet filter of the node "{node.shown}" cannot be asked or changed: {shortened(why, 300)}')


def _file(uuid: str) -> str:
    return f"{FOLDER}/{uuid}.nft"


def _enable(work: Work, node: Node) -> None:
    """Have the node make the tables anew when it starts, and after others. Asked once of each node."""
    if _ENABLED in node.__dict__:
        return
    if running.run(node, work, ["test", "-d", "/run/systemd/system"]).status != 0:
        work.warn(
            f'portForwards: the node "{node.shown}" does not run systemd, so nothing there reads {FOLDER} when it '
            "starts: until the next run after that nothing is forwarded"
        )
        return
    there = running.run(node, work, ["cat", _UNIT_PATH])
    if there.status != 0 or there.out != UNIT_TEXT.encode():
        _written(work, node, _UNIT_PATH, "644", UNIT_TEXT)
        _moved(work, node, _UNIT_PATH)
        running.done(node, work, ["systemctl", "daemon-reload"])
    # Started, too: a reload of nftables.service reaches only units that run.
    running.done(node, work, ["systemctl", "--quiet", "enable", "--now", UNIT])
    node.__dict__[_ENABLED] = True


def undone(work: Work, node: Node, forwards: Sequence[PortForward], uuid: str) -> None:
    """Take back what a create did that fails. Best effort: the error is another."""
    if forwards:
        with contextlib.suppress(JvpError):
            remove(work, node, uuid)
