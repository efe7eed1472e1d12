"""A firewall by its traffic: a real guest behind it, a neighbour on its network that floods it, and the node itself."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench

from hosts.daemon import SystemHost
from hosts.namespace import Namespace
from jvp.core.stored import Stored

RANGE = "192.168.93"
GUEST, NEIGHBOUR, NODE = (f"{RANGE}.{number}" for number in (7, 3, 1))
MAC = "52:54:00:0d:1f:93"
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
    print("open")
except ConnectionRefusedError:
    print("refused")
except OSError:
    print("silent")
"""
"""Nothing listens in the guest: a port that is let through refuses."""
FLOOD = """
import socket, sys, time
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
card.bind(("eth0", 0))
frame = bytes.fromhex(sys.argv[2].replace(":", "")) + card.getsockname()[4] + bytes.fromhex("810000000800")
while True:
    line.sendto(b"jvp floods", (sys.argv[1], 9))
    card.send(frame + b"jvp floods".ljust(60))
    time.sleep(0.002)
"""
"""Half of it has the tag of VLAN 0: guests take it as if it had none, and rules about addresses see nothing."""
COUNT = """
import socket, sys, threading
line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
seen = {"in": 0, "out": 0}
def count():
    while True:
        frame, (port, _, way, *_) = line.recvfrom(2048)
        if b"jvp floods" in frame and (way == 4) == port.startswith("vnet"):
            seen["out" if way == 4 else "in"] += 1
threading.Thread(target=count, daemon=True).start()
for _ in sys.stdin:
    print(seen["in"], seen["out"], flush=True)
"""
"""What came from the neighbour, and what went to a guest's card."""
GREET = """
import socket, sys
line = socket.create_server((sys.argv[1], 5000))
print("ready", flush=True)
while True:
    line.accept()[0].sendall(b"hello")
"""


@pytest.fixture
def host(hosts_folder: Path) -> Iterator[SystemHost]:
    found = SystemHost(hosts_folder / "firewall", f"{hosts_folder.name}-fw")
    with contextlib.closing(found):
        yield found


@pytest.fixture
def kernel() -> dict[str, str]:
    from tests.lab.micro.build import CMDLINE, build

    try:
        guest = build()
    except Exception as error:
        pytest.skip(f"the micro guest cannot be built here: {type(error).__name__}: {error}")
    return {"kernel": str(guest.vmlinux), "initrd": str(guest.initrd), "cmdline": CMDLINE}


class Beside:
    """A neighbour of the guest on its network, and programs that run there and on the node."""

    def __init__(self, host: SystemHost, bridge: str) -> None:
        self.host, self._running = host, contextlib.ExitStack()
        folder = host.folder / "neighbour"
        folder.mkdir()
        self.space = Namespace(folder, f"{host.folder.parent.name}-nb", mounts={})
        self._running.callback(self.space.close)
        pid = str(self.space.holder.pid)
        host.namespace.run("ip", "link", "add", "nb0", "type", "veth", "peer", "name", "eth0", "netns", pid)
        host.namespace.run("ip", "link", "set", "nb0", "master", bridge, "up")
        self.space.run("ip", "address", "add", f"{NEIGHBOUR}/24", "dev", "eth0")
        self.space.run("ip", "link", "set", "eth0", "up")
        self.space.run("ip", "neigh", "add", GUEST, "lladdr", MAC, "dev", "eth0")

    def starts(self, space: Namespace, program: str, *arguments: str) -> subprocess.Popen[str]:
        argv = space.command(sys.executable, "-c", program, *arguments)
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._running.callback(_end, process)
        return process

    def reaches(self, port: int, space: Namespace | None = None) -> str:
        return (space or self.space).run(sys.executable, "-c", CONNECT, GUEST, str(port)).strip()

    def close(self) -> None:
        self._running.close()


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def counted(counter: subprocess.Popen[str]) -> tuple[int, int]:
    """How many packets of the flood came, and how many of them went on to the guest."""
    assert counter.stdin is not None
    assert counter.stdout is not None
    counter.stdin.write("\n")
    counter.stdin.flush()
    came, went = counter.stdout.readline().split()
    return int(came), int(went)


def stopped(counter: subprocess.Popen[str]) -> bool:
    """Whether nothing of the flood goes on to the guest."""
    came, went = counted(counter)
    return until(lambda: counted(counter)[0] > came + 100, True) and counted(counter)[1] == went


def greeted(domain: Any) -> str:
    """What the guest hears when it connects to its neighbour."""
    import libvirt_qemu

    def ask(command: str, **arguments: Any) -> Any:
        text = json.dumps({"execute": command, "arguments": arguments})
        return json.loads(libvirt_qemu.qemuAgentCommand(domain, text, 20, 0))["return"]

    call = {"path": "/bin/busybox", "arg": ["timeout", "4", "nc", NEIGHBOUR, "5000"], "capture-output": True}
    pid, end = ask("guest-exec", **call)["pid"], time.monotonic() + 30
    while not (found := ask("guest-exec-status", pid=pid))["exited"] and time.monotonic() < end:
        time.sleep(0.1)
    return base64.b64decode(found.get("out-data", "")).decode()


def until(look: Callable[[], Any], wanted: Any) -> Any:
    end = time.monotonic() + 20
    while (found := look()) != wanted and time.monotonic() < end:
        time.sleep(0.1)
    return found


def address_of(bench: Bench, guest: Stored) -> str | None:
    """The address of an instance, once it is known."""
    read = bench.read("Instance", guest)
    return read.state.get("ipAddress") if read is not None else None


def test_what_goes_to_a_guest_behind_a_firewall_and_what_does_not(host: SystemHost, kernel: dict[str, str]) -> None:
    import libvirt

    from jvp.resources.provider import Provider
    from jvp.resources.registry import calls

    connection = libvirt.open(host.uri)
    bench = Bench(calls(Provider(uri=host.uri, virt_type="qemu")), connection, "fw-", host.pools, lambda: "")
    lan = {"name": "lan", "mode": "isolated", "cidr": f"{RANGE}.0/24"}
    network = bench.create("Network", "lan", lan).stored
    ssh = {"name": "ssh", "protocol": "tcp", "ports": ["22"], "cidr": f"{NEIGHBOUR}/32"}
    rules = {"name": "web", "rules": [ssh], "antiSpoofing": True}
    web = bench.create("Firewall", "web", rules).stored
    pool = bench.create("StoragePool", "pool", {"name": "pool", "path": str(host.pools / "pool")}).stored
    with contextlib.closing(Beside(host, network.state["bridge"])) as beside:
        counter = beside.starts(host.namespace, COUNT)
        beside.starts(beside.space, FLOOD, GUEST, MAC)
        greeter = beside.starts(beside.space, GREET, NEIGHBOUR)
        assert greeter.stdout is not None
        assert greeter.stdout.readline() == "ready\n"
        assert until(lambda: counted(counter)[0] > 0, True)
        card = {"name": "eth0", "network": "lan", "mac": MAC, "address": GUEST, "firewall": web.id}
        machine = {
            "name": "guest", "memory": "128MiB", "rootDisk": {"pool": pool.id, "size": "1MiB"}, "nics": [card],
            "directKernel": kernel, "waitFor": "agent", "waitTimeout": "150s", "shutdownTimeout": "0s",
        }  # fmt: skip
        made = bench.create("Instance", "guest", machine)
        assert made.reasons == ()
        # No look at the firewall writes it anew, though its mark does not say yet that a state has it.
        before = connection.nwfilterLookupByName("web").XMLDesc(0)
        guest = bench.converged("Instance", made.stored, machine)
        assert bench.read("Firewall", web) is not None
        assert connection.nwfilterLookupByName("web").XMLDesc(0) == before
        domain = connection.lookupByUUIDString(guest.id)
        # It has its address, for DHCP passes, and of what the neighbour sent all the time it has got nothing.
        # Its agent may answer before that.
        assert until(lambda: address_of(bench, guest), GUEST) == GUEST
        came, went = counted(counter)
        assert came > 100
        assert went == 0
        # What a rule lets in, and what none does. What the node sends libvirt does not stop, but the answers.
        assert (beside.reaches(22), beside.reaches(80)) == ("refused", "silent")
        assert (beside.reaches(22, host.namespace), beside.reaches(80, host.namespace)) == ("silent", "silent")
        assert greeted(domain) == "hello"
        # A change reaches the guest as it runs.
        http = {"name": "http", "protocol": "tcp", "ports": ["80"]}
        more = {**rules, "rules": [ssh, http], "outbound": "drop"}
        web = bench.converged("Firewall", bench.update("Firewall", web, more).stored, more)
        assert (beside.reaches(22), beside.reaches(80), beside.reaches(23)) == ("refused", "refused", "silent")
        assert beside.reaches(80, host.namespace) == "refused"
        assert greeted(domain) == ""
        # The order counts: nobody is refused before who is let in.
        first = {"name": "no", "action": "reject", "protocol": "tcp", "cidr": f"{RANGE}.0/24"}
        other = {**rules, "rules": [ssh, first, http]}
        web = bench.converged("Firewall", bench.update("Firewall", web, other).stored, other)
        assert (beside.reaches(22), beside.reaches(80)) == ("refused", "refused")
        assert (beside.reaches(80, host.namespace), greeted(domain)) == ("silent", "hello")
        # While libvirt before 11.6 changes the rules some of it may have got through; now none does.
        came, went = counted(counter)
        assert until(lambda: counted(counter)[0] > came + 100, True)
        assert counted(counter)[1] == went
        # Somebody takes the rules away: the next plan tells, and its update puts them up again.
        subprocess.run(["virsh", "-q", "-c", host.uri, "nwfilter-binding-delete", "vnet0"], check=True, timeout=30)
        read = bench.read("Instance", guest)
        assert read is not None
        assert bench.plan("Instance", read, machine) == ["nics[0].firewall"]
        guest = bench.converged("Instance", bench.update("Instance", read, machine).stored, machine)
        assert beside.reaches(81) == "refused"  # by the rule, and not by the guest
        # What is flushed on the node nobody is told of; libvirt puts it up again when it is reloaded.
        assert stopped(counter)
        went = counted(counter)[1]
        host.namespace.run("iptables", "-F", "FO-vnet0")
        assert until(lambda: counted(counter)[1] > went, True)
        bench.converged("Instance", guest, machine)
        os.kill(host.daemon.pid, signal.SIGHUP)
        assert until(lambda: stopped(counter), True)
        # Taken out of the program it is taken off the card, live.
        bare = {**machine, "nics": [{name: value for name, value in card.items() if name != "firewall"}]}
        guest = bench.converged("Instance", bench.update("Instance", guest, bare).stored, bare)
        assert "filterref" not in domain.XMLDesc(0)
        assert beside.reaches(80) == "refused"
        assert until(lambda: counted(counter)[1] > 0, True)
        bench.delete("Instance", guest)
    for token, stored in (("Firewall", web), ("StoragePool", pool), ("Network", network)):
        bench.delete(token, stored)
    connection.close()
