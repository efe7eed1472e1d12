"""Port forwards without a node: what is refused, the table, and what is read of a machine's sockets."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.resources.golden.files import HERE, same_as_golden

from jvp.core.check import check
from jvp.core.errors import Rejected, Unreachable
from jvp.core.work import Work
from jvp.host import running
from jvp.host.running import Ran
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import parse, value
from jvp.resources.network import forwards
from jvp.resources.network.definition import Ours, mode_of, patch, read, skeleton
from jvp.resources.network.forward_record import forget, has_table, is_going, note, recorded, ruleset_of
from jvp.resources.network.forwards import FOLDER, UNIT, UNIT_TEXT, refuse, remove_left, settle
from jvp.resources.network.model import Network
from jvp.resources.network.rivals import rivals
from jvp.resources.network.ruleset import table_of
from jvp.resources.network.sockets import Socket, parsed, sockets

UUID = "6f0f3d2e-6f1c-5d5b-9c55-0d8f0b7a3f10"
WEB: dict[str, Any] = {"name": "web", "hostPort": 8080, "to": "192.168.50.9", "port": 80}
RAW: dict[str, Any] = {
    "name": "web", "cidr": "192.168.50.0/24", "ipv6": {"cidr": "fd00:1::/64"},
    "portForwards": [
        WEB,
        {"name": "calls", "protocol": "udp", "hostPorts": "7000-7010", "to": "192.168.50.9"},
        {"name": "one", "hostAddress": "192.0.2.1", "hostPort": 22, "to": "192.168.50.10"},
        {"name": "six", "hostPort": 8080, "to": "fd00:1::9", "port": 80},
    ],
}  # fmt: skip


def made() -> Any:
    spec = check(Network, RAW).sound().spec
    root = skeleton(UUID)
    patch(root, spec, Ours())
    note(root, spec.port_forwards, had=False)
    return root


def test_a_network_with_forwards_is_defined_in_mode_open_and_read_as_nat() -> None:
    root = made()
    assert mode_of(root) == "nat"
    found = read(root, Ours())
    assert (found["mode"], found["port_forwards"]) == ("nat", check(Network, RAW).sound().spec.port_forwards)
    spec = check(Network, {**RAW, "portForwards": []}).sound().spec
    patch(root, spec, Ours())
    note(root, [], had=True)
    assert (value(root, "forward/@mode"), value(root, "forward/nat/@ipv6")) == ("nat", "yes")
    assert (recorded(root), has_table(root), is_going(root)) == ([], True, True)
    forget(root)
    assert not has_table(root)
    assert root.find("metadata") is None
    patch(root, check(Network, RAW).sound().spec, Ours())
    same_as_golden("forwards", root)


def test_the_table() -> None:
    wanted = HERE / "forwards.nft"
    rules = ruleset_of(made())
    if os.environ.get("JVP_GOLDEN") == "write":
        wanted.write_text(rules.text)
    assert rules.text == wanted.read_text()
    assert rules.found_in(None) == rules.found_in({"nftables": [{"chain": {"prio": "x"}}, 1]}) == []
    assert table_of(UUID) == "jvp_6f0f3d2e6f1c5d5b"
    more = made()
    more.insert(0, parse('<ip address="10.7.0.1" prefix="24"/>'))
    assert ruleset_of(more).ranges == ("10.7.0.0/24", *rules.ranges)


@pytest.mark.parametrize(
    ("forward", "path", "why"),
    [
        ({"hostPort": None}, "hostPort", "is required, or hostPorts"),
        ({"hostPorts": "1-2"}, "hostPorts", "cannot be given beside hostPort"),
        ({"hostPort": None, "hostPorts": "1-2"}, "port", "the ports of a range stay the same"),
        ({"hostPort": None, "port": None, "hostPorts": "9-8"}, "hostPorts", "the smaller one first"),
        ({"hostPort": None, "port": None, "hostPorts": "80"}, "hostPorts", 'write it like "8000-8010"'),
        ({"to": "192.168.51.9"}, "to", "is outside of 192.168.50.0/24"),
        ({"to": "192.168.50.1"}, "to", "is the gateway"),
        ({"hostAddress": "127.0.0.1"}, "hostAddress", "is no address that others reach the node by"),
        ({"hostAddress": "fd09::1"}, "hostAddress", "are not of one IP version"),
        ({"hostPort": 53}, "hostPort", "is the network's own service"),
        ({"hostPort": 70000}, "hostPort", "65535"),
        ({"name": 'a"b'}, "name", "is not a name of a forward"),
        ({"hostPort": 7}, None, None),
        ({"hostPort": 53, "hostAddress": "192.0.2.7"}, None, None),
    ],
)
def test_what_a_forward_cannot_be(forward: dict[str, Any], path: str | None, why: str | None) -> None:
    item = {name: value for name, value in {**WEB, **forward}.items() if value is not None}
    failures = check(Network, {"cidr": RAW["cidr"], "portForwards": [item]}).failures
    if path is None or why is None:
        assert failures == ()
        return
    (failure,) = failures
    assert failure.path == ("portForwards", 0, path)
    assert why in failure.message


@pytest.mark.parametrize(
    ("network", "path", "why"),
    [
        ({"mode": "route"}, ("portForwards",), 'are for mode "nat"'),
        ({"portForwards": [WEB, {**WEB, "name": "b"}]}, ("portForwards", 1, "hostPort"), '"web" forwards already'),
        ({"portForwards": [WEB, {**WEB, "hostPort": 1}]}, ("portForwards", 1, "name"), '"web" is given twice'),
        ({"portForwards": [{**WEB, "to": "fd00::1"}]}, ("portForwards", 0, "to"), "it has no IPv6"),
        (
            {"portForwards": [{**WEB, "name": f"n{one}", "hostPort": 1000 + one} for one in range(101)]},
            ("portForwards",),
            "at most 100",
        ),
    ],
)
def test_what_a_networks_forwards_cannot_be(network: dict[str, Any], path: tuple[Any, ...], why: str) -> None:
    (failure,) = check(Network, {"cidr": RAW["cidr"], "portForwards": [WEB], **network}).failures
    assert failure.path == path
    assert why in failure.message


TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0200000A:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   2: 0200000A:1F91 0300000A:0050 01 00000000:00000000 00:00000000 00000000     0        0 1 1
   3: 000000FD000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1 1
   4: 0000000000000000FFFF00000200000A:0017 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1 1
nonsense
"""


def test_what_listens() -> None:
    told = [("127.0.0.1", 53), ("10.0.0.2", 8080), ("fd00::1", 22), ("10.0.0.2", 23)]
    assert [*parsed("tcp", TCP)] == [Socket("tcp", ipaddress.ip_address(one), port) for one, port in told]


class Commands:
    """Stands for a node: what was run there, and files by their paths."""

    def __init__(self, files: dict[str, bytes], *, systemd: bool) -> None:
        self.files, self.systemd, self.ran, self.refuses = files, systemd, list[str](), False

    def __call__(self, node: Node, work: Work, argv: Sequence[str], stdin: bytes = b"") -> Ran:
        self.ran.append(" ".join(argv))
        if argv[0] == "test":
            return Ran(0 if self.systemd else 1, b"", "")
        if argv[:2] == ["nft", "-c"] and self.refuses:
            return Ran(1, b"", "no such thing")
        if argv[0] in ("install", "tee"):
            self.files[argv[-1]] = stdin
        elif argv[0] == "mv":
            self.files[argv[-1]] = self.files.pop(argv[-2])
        elif argv[0] == "ls":
            names = [one.removeprefix(f"{FOLDER}/") for one in self.files if one.startswith(FOLDER)]
            return Ran(0, "\n".join(names).encode(), "")
        return Ran(0, self.files.get(argv[-1], b""), "")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Commands]:
    def made(files: dict[str, bytes], *, systemd: bool = True) -> Commands:
        found = Commands(files, systemd=systemd)
        monkeypatch.setattr(running, "run", found)
        return found

    return made


UNIT_PATH = f"/etc/systemd/system/{UNIT}"
TABLE = f"{FOLDER}/{UUID}.nft"


def api_of(*uuids: str) -> Any:
    """A node with these networks."""
    there = [SimpleNamespace(UUIDString=lambda uuid=uuid: uuid) for uuid in uuids]
    connection = SimpleNamespace(listAllNetworks=lambda _: there)
    return SimpleNamespace(node=SimpleNamespace(connection=connection, forwarding={}, shown="qemu:///system"))


@pytest.mark.parametrize("files", [{}, {UNIT_PATH: b"an older one"}, {UNIT_PATH: UNIT_TEXT.encode()}])
def test_a_unit_reads_the_tables_when_the_node_starts(
    commands: Callable[..., Commands], files: dict[str, bytes]
) -> None:
    told, api = commands(files), api_of(UUID)
    is_new = files.get(UNIT_PATH) != UNIT_TEXT.encode()
    for _ in range(2):
        settle(Work(), api, made())
    assert files[UNIT_PATH] == UNIT_TEXT.encode()
    assert files[TABLE].startswith(b"table inet jvp_")
    assert ("systemctl daemon-reload" in told.ran) is is_new
    assert told.ran.count(f"systemctl --quiet enable --now {UNIT}") == 1
    assert told.ran.count(f"nft -f {TABLE}") == 2
    # Each is a login where the node is another one. What a read looks at comes last.
    assert told.ran[-6:] == [
        f"install -D -m 600 /dev/null {TABLE}.new", f"tee {TABLE}.new", f"nft -c -f {TABLE}.new",
        f"mv -f {TABLE}.new {TABLE}", f"ls {FOLDER}", f"nft -f {TABLE}",
    ]  # fmt: skip


def test_what_nft_does_not_take_is_read_by_nobody(commands: Callable[..., Commands]) -> None:
    told = commands({})
    told.refuses = True
    with pytest.raises(Rejected, match="no such thing") as caught:
        settle(Work(), api_of(UUID), made())
    assert caught.value.path == ("portForwards",)
    assert TABLE not in told.files


OTHER, LEFT = UUID.replace("6f0f", "7777"), UUID.replace("6f0f", "8888")


def test_what_undefined_networks_left_is_removed(
    commands: Callable[..., Commands], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = commands({f"{FOLDER}/{one}.nft": b"" for one in (OTHER, LEFT, "own")})
    settle(Work(), api_of(UUID, OTHER), made())
    assert [one for one in told.ran if one.startswith("rm")] == [f"rm -f {FOLDER}/{LEFT}.nft {FOLDER}/{LEFT}.nft.new"]
    assert f"nft add table inet {table_of(LEFT)}; delete table inet {table_of(LEFT)}" in told.ran
    # And before one of the same id is made that has none.
    told.ran.clear()
    node = Node("qemu:///system")
    node.__dict__["is_here"] = True
    monkeypatch.setattr(forwards, "FOLDER", str(tmp_path))
    remove_left(Work(), node, LEFT)
    assert told.ran == []
    (tmp_path / f"{LEFT}.nft").touch()
    remove_left(Work(), Node("qemu+ssh://alpha/system"), LEFT)
    assert told.ran == []
    remove_left(Work(), node, LEFT)
    assert len(told.ran) == 2


def test_a_login_for_libvirt_alone_has_no_forwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node is reached, so that its plan goes on."""

    def closed(*_: object, **__: object) -> Ran:
        raise Unreachable("ssh did not reach the node")

    monkeypatch.setattr(running, "run", closed)
    with pytest.raises(Rejected, match="ssh did not reach the node") as caught:
        refuse(Work(), api_of(), check(Network, RAW).sound().spec.port_forwards, UUID)
    assert caught.value.path == ("portForwards",)


def test_who_is_not_root_is_not_told_of_rivals_nor_of_ports_that_nobody_read(
    commands: Callable[..., Commands], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, node = commands({}), Node("qemu:///system")
    node.__dict__["is_here"] = True
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert [*rivals(Work(), node, "virbr0", forwards=False)] == told.ran == []
    with pytest.raises(Rejected, match="what listens on the node"):
        sockets(Work(), node)


def test_a_node_without_systemd_says_so(commands: Callable[..., Commands]) -> None:
    said: list[str] = []
    commands({}, systemd=False)
    settle(Work(warn=said.append), api_of(UUID), made())
    (line,) = said
    assert "until the next run after that nothing is forwarded" in line


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    (tmp_path / UNIT).write_text(UNIT_TEXT)
    done = subprocess.run(
        ["systemd-analyze", "verify", UNIT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
