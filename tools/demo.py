"""From nothing to a running guest, and back to nothing, with the program of examples/01-first-instance.

``make demo`` runs it after the setup; ``make demo KEEP=1`` leaves the guest running. Every step says what it
shows and proves it against libvirt or the guest itself. A run that was interrupted is cleaned up by the next one.
"""

import contextlib
import fcntl
import ipaddress
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import libvirt

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "01-first-instance"
WORK = ROOT / "build" / "demo"
PROJECT = WORK / "project"
EVENTS = WORK / "events.json"
READY = WORK / "ready"
"""There from when the stack is configured: before that, nothing can be on the host."""
IMAGE = ROOT / "build" / "guest" / "micro.qcow2"
VENV = ROOT / ".venv"
PREFIX = "jvp-demo"
URI = "qemu:///system"
ENV = {
    **os.environ,
    "PATH": os.pathsep.join([str(ROOT / ".tools" / "bin"), os.environ.get("PATH", "")]),
    "PULUMI_HOME": str(WORK / "home"),
    "PULUMI_BACKEND_URL": f"file://{WORK / 'state'}",
    "PULUMI_CONFIG_PASSPHRASE": "demo",
    "PULUMI_SKIP_UPDATE_CHECK": "1",
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
    # Shows the option --event-log, from which the demo reads what a preview found.
    "PULUMI_DEBUG_COMMANDS": "1",
}
GUEST_S = 30.0
"""How long the guest may take to notice a change."""


class Failed(Exception):
    """The demo did not show what it promises; the message says what, in one sentence."""


class Steps:
    """The steps with their times, for the table at the end."""

    def __init__(self) -> None:
        self.done: list[tuple[str, float]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step and take its time."""
        print(f"\n=== {len(self.done) + 1}. {title}", flush=True)
        start = time.monotonic()
        yield
        took = time.monotonic() - start
        self.done.append((title, took))
        print(f"=== done in {took:.1f} s", flush=True)

    def table(self) -> str:
        """What was shown, and how long each took."""
        width = max(len(title) for title, _ in self.done)
        rows = [f"  {title:<{width}}  {took:6.1f} s" for title, took in self.done]
        total = sum(took for _, took in self.done)
        return "\n".join(["", "What was shown", *rows, f"  {'in all':<{width}}  {total:6.1f} s"])


def pulumi(*words: str, may_fail: bool = False) -> bool:
    """Run a command of the CLI on the terminal; whether it succeeded."""
    print(f"$ pulumi {' '.join(words)}", flush=True)
    code = subprocess.run(["pulumi", *words], cwd=PROJECT, env=ENV, check=False).returncode
    if code and not may_fail:
        raise Failed(f'"pulumi {" ".join(words)}" ended with exit code {code}')
    return code == 0


def quietly(*words: str) -> str:
    """Run a command of the CLI and return what it prints."""
    done = subprocess.run(["pulumi", *words], cwd=PROJECT, env=ENV, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f'"pulumi {" ".join(words)}" ended with exit code {done.returncode}: {done.stderr.strip()}')
    return done.stdout


def changes_in_preview() -> dict[str, list[str]]:
    """Run a preview on the terminal; the properties that it would change, by the resource's name."""
    EVENTS.unlink(missing_ok=True)
    pulumi("preview", "--diff", "--event-log", str(EVENTS))
    found: dict[str, list[str]] = {}
    for line in EVENTS.read_text(encoding="utf-8").splitlines():
        step = json.loads(line).get("resourcePreEvent", {}).get("metadata", {})
        if step.get("type", "").startswith("jvp:") and step["op"] in ("update", "replace", "create", "delete"):
            found[step["urn"].rpartition("::")[2]] = sorted(step.get("detailedDiff") or {})
    return found


def expect(what: bool, sentence: str) -> None:
    """Fail with `sentence` unless `what`."""
    if not what:
        raise Failed(sentence)


def inventory(host: Any) -> set[str]:
    """What is on the host, one line for each thing."""
    found = {f"domain {one.name()} {one.UUIDString()}" for one in host.listAllDomains(0)}
    found |= {f"network {one.name()} {one.UUIDString()}" for one in host.listAllNetworks(0)}
    for pool in host.listAllStoragePools(0):
        found.add(f"pool {pool.name()} {pool.UUIDString()}")
        with contextlib.suppress(libvirt.libvirtError):  # stopped, or going just now
            found |= {f"volume {volume.path()}" for volume in pool.listAllVolumes(0)}
    found |= {f"folder {path}" for path in Path("/var/lib/jvp").glob("*")}
    found |= {f"interface {name}" for _, name in socket.if_nameindex()}
    return found


def traces(host: Any) -> set[str]:
    """By what the demo's own things are known: the names' prefix, the ids in the state, the network's bridge."""
    state = json.loads(quietly("stack", "export"))
    resources = [one for one in state["deployment"]["resources"] if one["type"].startswith("jvp:")]
    known = {one["id"].partition("/")[0] for one in resources} | {PREFIX}
    return known | {one["outputs"]["bridge"] for one in resources if one["outputs"].get("bridge")}


def ours(things: set[str], known: set[str]) -> list[str]:
    """Those of `things` that are the demo's: other people may use the host meanwhile."""
    return sorted(thing for thing in things if any(trace in thing for trace in known))


def free_cidr(host: Any) -> str:
    """A network that neither an interface's route nor another libvirt network uses."""
    taken = [ipaddress.ip_network(address, strict=False) for address in routes()]
    for network in host.listAllNetworks(0):
        for address, prefix in re.findall(r"<ip address='([\d.]+)' (?:netmask|prefix)='([\d.]+)'", network.XMLDesc(0)):
            taken.append(ipaddress.ip_network(f"{address}/{prefix}", strict=False))
    for third in range(150, 200):
        net = ipaddress.ip_network(f"192.168.{third}.0/24")
        if not any(net.overlaps(other) for other in taken):
            return str(net)
    raise Failed("all of 192.168.150.0/24 to 192.168.199.0/24 are in use on this host")


def routes() -> Iterator[str]:
    """The destinations of the host's IPv4 routes, but the default one."""
    for line in Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]:
        words = line.split()
        address, mask = (socket.inet_ntoa(struct.pack("<L", int(words[at], 16))) for at in (1, 7))
        if mask != "0.0.0.0":
            yield f"{address}/{mask}"


def ping(address: str) -> float:
    """The seconds that an ICMP echo takes to come back. Raises Failed when none does."""
    end = time.monotonic() + GUEST_S
    with _icmp() as sock:
        sock.settimeout(1)
        for sequence in range(1, 1000):
            head = struct.pack("!BBHHH", 8, 0, 0, os.getpid() & 0xFFFF, sequence)
            sent = struct.pack("!BBHHH", 8, 0, _sum(head), os.getpid() & 0xFFFF, sequence)
            start = time.monotonic()
            with contextlib.suppress(OSError):
                sock.sendto(sent, (address, 0))
                while True:
                    answer, (sender, _) = sock.recvfrom(1024)
                    if sender == address and answer[-8] == 0:
                        return time.monotonic() - start
            expect(time.monotonic() < end, f"{address} does not answer a ping")
    raise Failed(f"{address} does not answer a ping")


def _icmp() -> socket.socket:
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    except PermissionError:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)


def _sum(data: bytes) -> int:
    total = int(sum(struct.unpack(f"!{len(data) // 2}H", data)))
    return ~((total >> 16) + (total & 0xFFFF)) & 0xFFFF


class Console:
    """The guest's serial console. The micro guest writes a line there whenever its hardware changes:
    `micro: mem 124000 cpus 1 disks vda=50331648 vdb=55296 nics eth0=52:54:00:31:c0:28`.
    """

    def __init__(self, host: Any) -> None:
        self.lines: list[str] = []
        self._stream = host.newStream(0)
        host.lookupByName(f"{PREFIX}-vm").openConsole(None, self._stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest = b""
        with contextlib.suppress(libvirt.libvirtError):
            while data := self._stream.recv(4096):
                *whole, rest = (rest + data).split(b"\n")
                self.lines += [line.decode(errors="replace").strip() for line in whole]

    def facts(self) -> dict[str, int]:
        """The numbers of the last such line; none while there is none."""
        line = next((line for line in reversed(self.lines) if line.startswith("micro: mem ")), "")
        return {name: int(number) for name, number in re.findall(r"(\w+)[ =](\d+)(?= |$)", line)}

    def wait(self, sees: Callable[[dict[str, int]], bool], what: str) -> None:
        """Wait until the guest says that it sees it."""
        end = time.monotonic() + GUEST_S
        while time.monotonic() < end:
            facts = self.facts()
            if facts and sees(facts):
                shown = ", ".join(f"{name} {number}" for name, number in facts.items())
                print(f"the guest sees {what}: {shown}", flush=True)
                return
            time.sleep(0.1)
        raise Failed(f"the guest did not see {what} within {GUEST_S:.0f} s; its console said: {self.lines[-3:]}")

    def close(self) -> None:
        """Let go of the console."""
        with contextlib.suppress(libvirt.libvirtError):
            self._stream.abort()


def clean_up() -> None:
    """End what an earlier run left, by its own stack."""
    if READY.exists() and not _is_empty(json.loads(quietly("stack", "export"))["deployment"]):
        print("An earlier run was left behind; it is removed first.", flush=True)
        pulumi("cancel", "--yes", may_fail=True)
        # A destroy knows only what is in the state; the up takes on what was being made when the run was killed.
        pulumi("up", "--yes", "--skip-preview", may_fail=True)
        pulumi("destroy", "--yes", "--skip-preview")
    shutil.rmtree(WORK, ignore_errors=True)


def _is_empty(deployment: dict[str, Any]) -> bool:
    """Whether a state has nothing, and was making nothing when its last command ended."""
    return not deployment.get("resources") and not deployment.get("pending_operations")


def prepare(host: Any) -> None:
    """Copy the example, with the project's own virtual environment, and configure a stack."""
    shutil.copytree(EXAMPLE, PROJECT, ignore=shutil.ignore_patterns("venv", "__pycache__", "Pulumi.*.yaml"))
    (PROJECT / "venv").symlink_to(VENV)
    (WORK / "state").mkdir()
    quietly("stack", "init", "demo")
    settings = {"prefix": PREFIX, "image": str(IMAGE), "memory": "96MiB", "maxMemory": "192MiB"}
    settings |= {"cidr": free_cidr(host), "hostname": "demo", "waitTimeout": "120s", "disks.data": "64MiB"}
    words = [word for name, value in settings.items() for word in ("--plaintext", f"{name}={value}")]
    pulumi("config", "set-all", "--path", *words)
    READY.touch()


def drift(host: Any) -> None:
    """What somebody might do behind our back: a shorter DHCP range, and the plug pulled."""
    network = host.networkLookupByName(f"{PREFIX}-net")
    xml = network.XMLDesc(0)
    start, end = re.findall(r"<range start='([\d.]+)' end='([\d.]+)'", xml)[0]
    shorter = str(ipaddress.ip_address(end) - 100)
    section, both = libvirt.VIR_NETWORK_SECTION_IP_DHCP_RANGE, (
        libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE | libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG
    )  # fmt: skip
    delete, add = libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST
    network.update(delete, section, -1, f"<range start='{start}' end='{end}'/>", both)
    network.update(add, section, -1, f"<range start='{start}' end='{shorter}'/>", both)
    host.lookupByName(f"{PREFIX}-vm").destroy()
    print(f"behind Pulumi's back: the DHCP range ends at {shorter} instead of {end}, and the guest is off", flush=True)


def dhcp_range(host: Any) -> list[tuple[str, str]]:
    """The DHCP range of the running network."""
    xml = host.networkLookupByName(f"{PREFIX}-net").XMLDesc(0)
    return re.findall(r"<range start='([\d.]+)' end='([\d.]+)'", xml)


def demo(host: Any, *, keep: bool) -> Steps:
    """The whole demo. Raises Failed."""
    steps = Steps()
    before = inventory(host)
    with steps.step("the program and its settings"):
        prepare(host)
    with steps.step("preview: what there would be"):
        found = changes_in_preview()
        expect(len(found) == 5, f"the preview creates {len(found)} resources, not 5: {', '.join(found)}")
    with steps.step("up: a running guest"):
        pulumi("up", "--yes", "--skip-preview")
        address = quietly("stack", "output", "address").strip()
        known = traces(host)
        expect(bool(ours(inventory(host) - before, known)), "nothing new is on the host after the up")
    with steps.step("its address answers"):
        print(f"{address} answers a ping after {ping(address) * 1000:.1f} ms", flush=True)
    with steps.step("a second preview has nothing to do"):
        pulumi("preview", "--expect-no-changes")
    with steps.step("drift is seen"):
        wanted = dhcp_range(host)
        drift(host)
        found = changes_in_preview()
        expect("dhcp.end" in found.get("network", []), f"the preview does not see the DHCP range: {found}")
        expect("powerState" in found.get("instance", []), f"the preview does not see that the guest is off: {found}")
    with steps.step("drift is mended"):
        pulumi("up", "--yes", "--skip-preview")
        expect(dhcp_range(host) == wanted, f"the DHCP range is {dhcp_range(host)}, not {wanted}")
        address = quietly("stack", "output", "address").strip()
        print(f"{address} answers a ping after {ping(address) * 1000:.1f} ms", flush=True)
        pulumi("preview", "--expect-no-changes")
    console = Console(host)
    with contextlib.closing(console):
        with steps.step("memory grows and a disk is added, while the guest runs"):
            life = host.lookupByName(f"{PREFIX}-vm").ID()
            pulumi("config", "set", "--path", "disks.scratch", "32MiB")
            pulumi("up", "--yes", "--diff", "--skip-preview")
            console.wait(lambda seen: seen.get("vdd") == 32 * 1024**2, "a disk of 32 MiB")
            less = console.facts()["mem"]
            pulumi("config", "set", "memory", "160MiB")
            pulumi("up", "--yes", "--diff", "--skip-preview")
            console.wait(lambda seen: seen["mem"] > less + 48 * 1024, "64 MiB more memory, in KiB")
        with steps.step("that disk grows, while the guest runs"):
            pulumi("config", "set", "--path", "disks.scratch", "80MiB")
            pulumi("up", "--yes", "--diff", "--skip-preview")
            console.wait(lambda seen: seen.get("vdd") == 80 * 1024**2, "a disk of 80 MiB")
            expect(host.lookupByName(f"{PREFIX}-vm").ID() == life, "the guest was restarted on the way")
    known |= traces(host)
    if keep:
        return steps
    with steps.step("destroy: back to nothing"):
        pulumi("destroy", "--yes", "--skip-preview")
        left = ours(inventory(host) - before, known)
        expect(not left, f"destroy left on the host: {', '.join(left)}")
        print("nothing is on the host that was not there before", flush=True)
        quietly("stack", "rm", "--yes", "demo")
    return steps


def how_to_look(address: str) -> str:
    """What to do with a guest that was left running."""
    names = ("PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE")
    here = [f"  export {name}={ENV[name]}" for name in names]
    return "\n".join([
        "",
        f"The guest {PREFIX}-vm runs and has the address {address}. Look at it:",
        f"  virsh -c {URI} console {PREFIX}-vm        (Ctrl-] leaves)",
        "Go on with it, or destroy it:",
        f"  cd {PROJECT}",
        f"  export PATH={ROOT / '.tools' / 'bin'}:$PATH",
        *here,
        "  pulumi destroy --yes",
        "The next `make demo` destroys it too.",
    ])  # fmt: skip


@contextmanager
def alone() -> Iterator[None]:
    """Keep two demos of one checkout apart: they would share names and folders."""
    WORK.parent.mkdir(exist_ok=True)
    with (WORK.parent / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed("another demo of this checkout is running") from None
        yield


def _no_noise(_context: object, _error: object) -> None:
    """libvirt prints every error on stderr by default; ours say what they mean."""


def main() -> int:
    """The command."""
    keep = os.environ.get("KEEP", "") not in ("", "0")
    libvirt.registerErrorHandler(_no_noise, None)
    try:
        if not IMAGE.exists():
            raise Failed(f"the test guest {IMAGE.relative_to(ROOT)} is not built; run `make setup` first")
        with alone():
            clean_up()
            with contextlib.closing(libvirt.open(URI)) as host:
                steps = demo(host, keep=keep)
            print(steps.table(), flush=True)
            if keep:
                print(how_to_look(quietly("stack", "output", "address").strip()), flush=True)
            else:
                shutil.rmtree(WORK)
    except (Failed, libvirt.libvirtError, OSError) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; the next `make demo` removes what is there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
