"""Port forwards, by real connections: a node with a packet filter of its own, and namespaces as guests and others."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.micro.build import CMDLINE, build
from tests.lab.micro.initrd import Entry, archive
from tests.login import LOGIN

from hosts.daemon import SystemHost
from hosts.guests import Machine, asked
from jvp.resources.network.forwards import FOLDER, UNIT_TEXT
from jvp.resources.network.ruleset import table_of

pytestmark = pytest.mark.contract
ROOT = Path(__file__).resolve().parents[2]
NET, SIX, OUT = "10.90.1", "fd90:1:", "10.90.9"
"""The network, its IPv6, and the wire between the node and another host."""
GUEST, GUEST6, NODE, OTHER = f"{NET}.9", f"{SIX}:9", f"{OUT}.1", f"{OUT}.2"
WEB: dict[str, Any] = {"name": "web", "hostPort": 8080, "to": GUEST, "port": 80}
CALLS: dict[str, Any] = {"name": "calls", "protocol": "udp", "hostPorts": "7000-7002", "to": GUEST}
RAW: dict[str, Any] = {
    "name": "lab", "bridge": "jvplab", "cidr": f"{NET}.0/24", "ipv6": {"cidr": f"{SIX}:/64"},
    "portForwards": [WEB, CALLS, {"name": "six", "hostPort": 8080, "to": GUEST6, "port": 80}],
}  # fmt: skip
NAT = {name: value for name, value in RAW.items() if name != "portForwards"}


class Provider:
    """The provider's calls inside of the node, in a process of their own."""

    def __init__(self, node: SystemHost, path: Path | None = None, uri: str = "qemu:///system") -> None:
        """`path` is a folder of programs that it finds before the system's."""
        self.node = node
        environment = {**node.daemon.environment, "JVP_AUDIT": "off", "PYTHONPATH": str(ROOT / "provider")}
        if path is not None:
            environment["PATH"] = f"{path}:{environment['PATH']}"
        self.environment = environment
        command = node.namespace.command(sys.executable, str(ROOT / "tests/hosts/asked.py"), uri)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __call__(
        self, do: str, raw: dict[str, Any] | None = None, name: str = "lab", token: str = "Network"
    ) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = {"do": do, "token": token, "name": name, "raw": raw or {}}
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline() or "{}")
        return told

    def fine(
        self, do: str, raw: dict[str, Any] | None = None, name: str = "lab", token: str = "Network"
    ) -> dict[str, Any]:
        told = self(do, raw, name, token)
        assert "error" not in told, told["error"]
        return told

    def close(self) -> None:
        self.process.communicate(timeout=30)


class Lab:
    """A node, its provider, a guest on the network's bridge and a host beside the node."""

    def __init__(self, node: SystemHost, provider: Provider, guest: Machine, other: Machine) -> None:
        self.node, self.provider, self.guest, self.other = node, provider, guest, other

    def nft(self, *arguments: str) -> str:
        return self.node.namespace.run("nft", *arguments)

    def tables(self) -> list[str]:
        return re.findall(r"table inet (jvp_\S+)", self.nft("list", "tables"))

    def files(self) -> list[Path]:
        assert Path(FOLDER).parent == Path("/etc/libvirt")  # the node has one of its own
        return list((self.node.folder / "etc" / Path(FOLDER).name).iterdir())

    @property
    def table(self) -> str:
        return table_of(self.provider.fine("read")["state"]["uuid"])

    def join(self) -> None:
        """Put the guest's card on the bridge, and wait until that lets packets through: it looks for loops first."""
        self.node.namespace.run("ip", "link", "set", "jvplab", "type", "bridge", "stp_state", "0")
        self.node.namespace.run("ip", "link", "set", "tap0", "master", "jvplab")
        end = time.monotonic() + 30
        while "state forwarding" not in self.node.namespace.run("bridge", "link", "show", "dev", "tap0"):
            assert time.monotonic() < end
            time.sleep(0.05)
        while self.node.namespace.run("ip", "-6", "address", "show", "dev", "jvplab", "tentative"):
            assert time.monotonic() < end
            time.sleep(0.05)

    def reached(self) -> list[str]:
        """As whom the guest sees another host, the node, and itself, each by the forward."""
        return [self.other.asks(NODE, 8080), asked(self.node.namespace, NODE, 8080), self.guest.asks(NODE, 8080)]


REACHED = [OTHER, NODE, f"{NET}.1"]


@pytest.fixture(scope="module")
def lab(hosts_folder: Path) -> Iterator[Lab]:
    if absent := [tool for tool in ("nft", "bridge", "sysctl") if shutil.which(tool) is None]:
        pytest.skip(f"needs {', '.join(absent)} (make setup)")
    with contextlib.ExitStack() as stack:
        own = ("/etc/systemd/system",)
        node = SystemHost(hosts_folder / secrets.token_hex(3), f"{hosts_folder.name}-fwd", own=own)
        stack.enter_context(contextlib.closing(node))
        machines = []
        for name in ("guest", "other"):
            machines.append(Machine(node.folder / name, f"{hosts_folder.name}-{name}"))
            stack.enter_context(contextlib.closing(machines[-1]))
        guest, other = machines
        other.plug(node.namespace, "out0", (f"{OTHER}/24",), (NODE,))
        node.namespace.run("ip", "address", "add", f"{NODE}/24", "dev", "out0")
        node.namespace.run("sysctl", "-q", "-w", "net.ipv6.conf.default.accept_dad=0")  # it takes two seconds
        provider = Provider(node)
        stack.enter_context(contextlib.closing(provider))
        told = provider.fine("create", RAW)
        assert len(told["warnings"]) == 1, told
        assert "does not run systemd" in told["warnings"][0]
        guest.plug(node.namespace, "tap0", (f"{GUEST}/24", f"{GUEST6}/64"), (f"{NET}.1", f"{SIX}:1"))
        made = Lab(node, provider, guest, other)
        made.join()
        provider.fine("update", RAW)
        for machine in machines:
            machine.serve()
        yield made


@pytest.fixture(autouse=True)
def whole(lab: Lab) -> Iterator[None]:
    """Each test finds and leaves the network as it is declared."""
    yield
    lab.provider.fine("update", RAW)
    assert lab.provider.fine("plan", RAW)["plan"] == {}


def whole_of(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """The forwards of a declaration with what is left out of them."""
    return [{"protocol": "tcp", **one} for one in raw["portForwards"]]


def bridges_filter(lab: Lab, word: str) -> None:
    lab.node.namespace.run("sysctl", "-q", "-w", f"net.bridge.bridge-nf-call-iptables={word}")
    lab.node.namespace.run("sysctl", "-q", "-w", f"net.bridge.bridge-nf-call-ip6tables={word}")


@pytest.mark.parametrize("filtering", ["1", "0"])
def test_another_host_the_node_and_the_guest_itself_reach_it(lab: Lab, filtering: str) -> None:
    bridges_filter(lab, filtering)
    assert lab.reached() == REACHED
    assert [lab.other.asks(NODE, port, "udp") for port in (7000, 7002)] == [OTHER, OTHER]
    assert lab.other.cannot_ask(NODE, 7003, "udp")
    assert asked(lab.node.namespace, f"{SIX}:1", 8080) == f"{SIX}:1"
    assert lab.guest.asks(f"{SIX}:1", 8080) == f"{SIX}:1"
    # What mode nat promises: guests reach out behind the node's address, and nobody reaches them but by a forward.
    assert lab.guest.asks(OTHER, 80) == NODE
    assert lab.guest.asks(OTHER, 7000, "udp") == NODE
    assert lab.other.cannot_ask(GUEST, 80)
    assert asked(lab.node.namespace, GUEST, 80) == f"{NET}.1"


def test_changes_are_live(lab: Lab) -> None:
    bridge = lab.node.namespace.run("ip", "-o", "link", "show", "jvplab").partition(":")
    more = {**RAW, "portForwards": [{**WEB, "hostPort": 8090}, CALLS]}
    told = lab.provider.fine("plan", more)
    assert told["plan"] == {"portForwards[0].hostPort": "live", "portForwards[2]": "live"}
    assert told["warnings"] == []
    assert lab.provider.fine("update", more)["state"]["portForwards"] == whole_of(more)
    assert lab.other.asks(NODE, 8090) == OTHER
    assert lab.other.cannot_ask(NODE, 8080)
    assert lab.node.namespace.run("ip", "-o", "link", "show", "jvplab").partition(":")[0] == bridge[0]
    # On one address of the node, and on one that is another host's: what others have there is theirs.
    foreign = {**WEB, "name": "foreign", "hostAddress": OTHER, "hostPort": 81}
    placed = {**RAW, "portForwards": [{**WEB, "hostAddress": NODE}, foreign]}
    assert lab.provider.fine("update", placed)["state"]["portForwards"] == whole_of(placed)
    assert lab.reached() == REACHED
    assert asked(lab.node.namespace, f"{NET}.1", 8080, limit_s=0.5).startswith("no")
    assert lab.guest.cannot_ask(OTHER, 81)
    assert asked(lab.node.namespace, OTHER, 81, limit_s=0.5).startswith("no")
    kept = {"name": "box", "mac": "52:54:00:0d:5b:09", "address": GUEST}
    named = {**RAW, "reservations": [kept], "portForwards": [{**WEB, "to": "box"}]}
    assert lab.provider.fine("update", named)["state"]["portForwards"] == whole_of(named)
    assert lab.other.asks(NODE, 8080) == OTHER
    moved = {**named, "reservations": [{**kept, "address": f"{NET}.10"}]}
    assert lab.provider.fine("update", moved)["state"]["portForwards"] == whole_of(named)
    assert f"{NET}.10" in lab.nft("list", "table", "inet", lab.table)


def test_a_restart_and_what_others_flush_leave_it_and_a_flush_of_all_is_seen_and_mended(lab: Lab) -> None:
    os.kill(lab.node.daemon.pid, signal.SIGHUP)
    lab.node.daemon.restart()
    lab.nft("add table inet others; flush table inet others; delete table inet others")
    assert lab.provider.fine("plan", RAW)["plan"] == {}
    assert lab.reached() == REACHED
    lab.nft("flush", "ruleset")
    assert lab.other.cannot_ask(NODE, 8080)
    told = lab.provider.fine("plan", RAW)
    assert told["plan"] == {f"portForwards[{at}]": "live" for at in range(3)}
    # As at the next boot.
    command = re.search(r"^ExecStart=/usr/bin/env nft '(.*)'$", UNIT_TEXT, re.M)
    assert command is not None
    lab.nft(command[1])
    assert lab.provider.fine("plan", RAW)["plan"] == {}
    assert lab.reached() == REACHED
    lab.nft("flush", "ruleset")
    lab.provider.fine("update", RAW)
    assert lab.reached() == REACHED


@pytest.mark.parametrize(
    ("act", "seen"),
    [
        ("delete rule inet {table} prerouting handle {web}", {"portForwards[0]"}),
        ("add rule inet {table} forward drop", {f"portForwards[{at}]" for at in range(3)}),
        ("flush chain inet {table} postrouting", {f"portForwards[{at}]" for at in range(3)}),
        (
            'replace rule inet {table} prerouting handle {web} tcp dport 8080 dnat ip to 10.90.1.7:80 comment "web"',
            {"portForwards[0]"},
        ),
        ("delete table inet {table}", {f"portForwards[{at}]" for at in range(3)}),
    ],
)
def test_drift_of_the_rules_is_seen_and_mended(lab: Lab, act: str, seen: set[str]) -> None:
    table = lab.table
    (handle,) = re.findall(r'comment "web" # handle (\d+)', lab.nft("-a", "list", "chain", "inet", table, "prerouting"))
    lab.nft(act.format(table=table, web=handle))
    told = lab.provider.fine("plan", RAW)
    assert (set(told["plan"]), set(told["plan"].values())) == (seen, {"live"})
    lab.provider.fine("update", RAW)
    assert lab.reached() == REACHED


def test_a_port_that_is_taken_is_refused(lab: Lab) -> None:
    script = "import socket,sys; s=socket.create_server(('0.0.0.0',8081)); print(1,flush=True); sys.stdin.read()"
    command = lab.node.namespace.command(sys.executable, "-c", script)
    taken = {**RAW, "portForwards": [*RAW["portForwards"], {**WEB, "name": "more", "hostPort": 8081}]}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as listener:
        assert listener.stdout is not None
        listener.stdout.readline()
        sentence = "portForwards[3].hostPort: something on the node listens on tcp port 8081 already"
        (warning,) = lab.provider.fine("plan", taken)["warnings"]
        assert warning.startswith(sentence)
        assert lab.provider("update", taken)["error"].startswith(sentence)
        assert lab.provider.fine("read")["state"]["portForwards"] == whole_of(RAW)
    second = {"name": "second", "cidr": "10.90.2.0/24", "portForwards": [{**WEB, "to": "10.90.2.9"}]}
    (warning,) = lab.provider.fine("preview", second, "second")["warnings"]
    told = lab.provider("create", second, "second")["error"]
    assert told == warning == 'portForwards[0].hostPort: the network "lab" forwards that port of the node already'


DROP = "{ type filter hook forward priority 0; policy drop; }"
SILENT = "{ type filter hook input priority 0; policy drop; }"
REJECT = "{ type filter hook forward priority 10; }"
NOBODY = 'the chain "forward" of the table "inet filter" of the node drops what it forwards'


@pytest.mark.parametrize(
    ("table", "chains", "with_forwards", "without"),
    [
        ("ip filter", {"DOCKER-USER": "", "FORWARD": DROP}, "Docker has the node drop what it forwards", None),
        ("inet filter", {"forward": DROP}, NOBODY, NOBODY),
        ("inet filter", {"input": SILENT}, "drops what guests ask the node for", None),
        ("inet firewalld", {"filter_FORWARD": REJECT}, "firewall-cmd --permanent", None),
    ],
)
def test_a_rival_that_drops_is_said_with_the_way_out(
    lab: Lab, table: str, chains: dict[str, str], with_forwards: str, without: str | None
) -> None:
    new = {"name": "second", "bridge": "jvpsecond", "cidr": "10.90.2.0/24"}
    forwards = {**new, "portForwards": [{**WEB, "to": "10.90.2.9", "hostPort": 9090}]}
    changed = {**RAW, "autostart": False}
    lab.nft("; ".join([f"add table {table}", *(f"add chain {table} {one} {rest}" for one, rest in chains.items())]))
    try:
        for told in (lab.provider.fine("preview", forwards, "second"), lab.provider.fine("plan", changed)):
            (line,) = told["warnings"]
            assert with_forwards in line
        told = lab.provider.fine("preview", new, "second")
        assert [without in one for one in told["warnings"] if without] == [True] * (without is not None)
        assert len(told["warnings"]) == (without is not None)
        lab.nft(f'add rule {table} {next(iter(chains))} iifname {{ "jvplab", "jvpsecond" }} accept')
        assert lab.provider.fine("plan", changed)["warnings"] == []
    finally:
        lab.nft(f"delete table {table}")


def test_it_goes_with_the_network_and_comes_with_a_restart(lab: Lab) -> None:
    stopped = {**RAW, "active": False}
    assert lab.provider.fine("update", stopped)["state"]["portForwards"] == whole_of(RAW)
    # Its table stays: whoever starts it, even the node at its next boot, does not open it to others.
    assert (lab.tables(), len(lab.files())) == ([lab.table], 1)
    lab.node.namespace.run("virsh", "net-start", "lab")
    lab.join()
    assert lab.other.cannot_ask(GUEST, 80)
    lab.node.namespace.run("virsh", "net-destroy", "lab")
    told = lab.provider.fine("update", RAW)
    assert told["plan"] == {"active": "live"}
    lab.join()
    lab.provider.fine("update", NAT)
    # A table that does not come: the network is as it was, and nothing is left of the try.
    in_the_way = lab.node.folder / "etc" / Path(FOLDER).name / f"{lab.provider.fine('read')['state']['uuid']}.nft.new"
    in_the_way.mkdir()
    assert lab.provider("update", RAW)["error"].startswith("portForwards: ")
    shutil.rmtree(in_the_way)
    assert lab.files() == []
    assert (lab.tables(), lab.provider.fine("plan", NAT)["plan"]) == ([], {})
    assert lab.guest.cannot_ask(OTHER, 80)  # its card is on no bridge: this one is new
    lab.join()
    assert lab.guest.asks(OTHER, 80) == NODE
    assert lab.other.cannot_ask(NODE, 8080)
    plan = lab.provider.fine("plan", RAW)["plan"]
    assert set(plan.values()) == {"network restart"}
    lab.provider.fine("update", RAW)
    lab.join()
    lab.provider.fine("update", RAW)
    assert lab.reached() == REACHED
    # Stopped by others: the table is there, and leads nowhere.
    lab.node.namespace.run("virsh", "net-destroy", "lab")
    assert lab.other.cannot_ask(NODE, 8080)
    assert len(lab.files()) == 1
    assert asked(lab.node.namespace, NODE, 8080, limit_s=0.5).startswith("no")
    assert lab.provider.fine("plan", RAW)["plan"] == {"active": "live"}
    lab.provider.fine("delete")
    assert (lab.tables(), lab.files()) == ([], [])
    lab.provider.fine("create", RAW)
    lab.join()


@pytest.mark.parametrize(("program", "when"), [("mv", "-f"), ("nft", "-f")])
def test_a_kill_before_any_command_is_healed(lab: Lab, tmp_path: Path, program: str, when: str) -> None:
    """The command kills who gives it."""
    script = tmp_path / program
    real = shutil.which(program)
    script.write_text(f'#!/bin/sh\ncase "$1" in {when}*) kill -9 $PPID; exit 1;; esac\nexec {real} "$@"\n')
    script.chmod(0o755)
    tmp_path.chmod(0o755)
    lab.provider.fine("delete")
    killed = Provider(lab.node, tmp_path)
    assert killed("create", RAW) == {}
    killed.close()
    assert killed.process.returncode == -signal.SIGKILL
    lab.provider.fine("create", RAW)
    assert lab.provider.fine("plan", RAW)["plan"] == {}


def test_the_command_line_in_other_hands_that_are_killed_and_tried_again(lab: Lab, tmp_path: Path) -> None:
    lab.join()
    script = tmp_path / "nft"
    script.write_text(f'#!/bin/sh\ncase "$1" in -f) kill -9 $PPID; exit 1;; esac\nexec {shutil.which("nft")} "$@"\n')
    script.chmod(0o755)
    changed = [f"name=web,hostPort=8090,to={GUEST},port=80"]
    jvp = [str(Path(sys.prefix) / "bin/jvp"), "network", "set", "lab", "--force", "--port-forward", *changed]

    def run(path: str) -> int:
        environment = {**lab.provider.environment, "PATH": f"{path}:{lab.provider.environment['PATH']}"}
        return subprocess.run(lab.node.namespace.command(*jvp), env=environment, timeout=60, check=False).returncode

    assert run(str(tmp_path)) != 0
    assert lab.other.asks(NODE, 8080) == OTHER
    assert run("/nowhere") == 0
    assert lab.other.asks(NODE, 8090) == OTHER
    assert lab.other.cannot_ask(NODE, 8080)


@pytest.fixture
def machine(lab: Lab) -> Iterator[dict[str, Any]]:
    """A real guest on the network that answers each who comes with its host name."""
    try:
        guest = build()
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the micro guest cannot be built here: {error}")
    init = (ROOT / "tests/lab/micro/guest/init").read_bytes()
    assert init.count(b"\nload early\n") == 1
    serving = init.replace(b"\nload early\n", b"\nload early\nbusybox nc -ll -p 80 -e hostname &\n")
    initrd = guest.initrd.read_bytes() + archive(iter([Entry("init", stat.S_IFREG | 0o755, serving)]))
    (lab.node.folder / "initrd").write_bytes(initrd)
    shutil.copy(guest.vmlinux, lab.node.folder / "vmlinux")
    kernel = {"kernel": str(lab.node.folder / "vmlinux"), "initrd": str(lab.node.folder / "initrd")}
    card = {"name": "eth0", "network": "lab", "address": f"{NET}.20", "mac": "52:54:00:90:01:20"}
    raw = {
        "name": "real", "memory": "128MiB", "cpuMode": "Nehalem", "waitFor": "ip", "nics": [card],
        "shutdownTimeout": "0s",
        "directKernel": {**kernel, "cmdline": CMDLINE},
    }  # fmt: skip
    yield raw
    lab.provider.fine("delete", name="real", token="Instance")


def test_a_real_guest_is_reached_by_its_reserved_address(lab: Lab, machine: dict[str, Any]) -> None:
    bridges_filter(lab, "1")
    lab.provider.fine("update", {**RAW, "portForwards": [{**WEB, "to": machine["nics"][0]["address"]}]})
    lab.provider.fine("create", machine, "real", "Instance")
    assert lab.other.asks(NODE, 8080) == "micro"
    hairpins = lab.node.namespace.run("bridge", "-d", "link").count("hairpin on")
    assert hairpins == 2


def test_over_ssh_with_the_login_of_the_uri_and_by_a_uri_without_it(lab: Lab, tmp_path: Path) -> None:
    """`ssh` is a login to the node itself, which does with its words as sshd does."""
    script = tmp_path / "ssh"
    script.write_text(LOGIN)
    script.chmod(0o755)
    tmp_path.chmod(0o755)
    new = {"name": "far", "cidr": "10.90.3.0/24", "portForwards": [{**WEB, "hostPort": 8100, "to": "10.90.3.9"}]}
    with contextlib.closing(Provider(lab.node, tmp_path, "qemu+ssh://root@alpha/system")) as far:
        far.fine("create", new, "far")
        assert len(lab.tables()) == 2
        assert far.fine("plan", new, "far")["plan"] == {}
        far.fine("delete", name="far")
        assert len(lab.tables()) == 1
    with contextlib.closing(Provider(lab.node, uri=lab.node.daemon.uri)) as deaf:
        (warning,) = deaf.fine("preview", new, "far")["warnings"]
        assert deaf("create", new, "far")["error"] == warning
        assert warning.startswith("portForwards: ")
        assert "without ssh no command runs there" in warning
    assert "far" not in lab.node.namespace.run("virsh", "net-list", "--all", "--name")
