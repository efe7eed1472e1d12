"""Whole stories, each an example in Pulumi, in HCL and as a script of commands: these very files, on a real daemon.

Each story is told once. Doors differ in how it is run, and `make test` draws one of them for each.
"""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine_stack import ROOT, VENV, Stack
from tests import extent
from tests.starting import Start
from tofu_stack import Tofu

from jvp.libvirt.link.xml import parse, value

EXAMPLES = ROOT / "examples"
LAST = (48 << 20) - 65536
"""Where the last piece of the micro guest's disk begins, which is nobody's."""


def doors(story: str, *among: str) -> Any:
    all_ = among or ("pulumi", "hcl", "cli")
    return pytest.mark.parametrize("door", extent.sample(all_, f"door {story}", share=0.3, least=1))


class Story:
    """An example with its settings, which are called the same in every door."""

    def __init__(self, prefix: str, daemon: Any, **settings: str) -> None:
        self.prefix, self.daemon = prefix, daemon
        self.settings = {"prefix": prefix, "memory": "64MiB", "wait": "none", **settings}

    def run(self, **settings: str) -> str:
        """Run the program with these settings, which stay; what was said."""
        self.settings |= settings
        return self._run()

    def _run(self) -> str:
        raise NotImplementedError

    def settle(self) -> None:
        """The next plan has nothing to do, where there is one."""

    def destroy(self) -> None:
        raise NotImplementedError

    def domain(self, name: str) -> Any:
        return self.daemon.lookupByName(f"{self.prefix}-{name}")

    def domains(self) -> dict[str, Any]:
        """Those of the story, by what their names end with."""
        begin = f"{self.prefix}-"
        found = [one for one in self.daemon.listAllDomains(0) if one.name().startswith(begin)]
        return {one.name().removeprefix(begin): one for one in found}

    def running(self) -> set[str]:
        return {name for name, one in self.domains().items() if one.isActive()}

    def cut(self) -> None:
        """Pull the plug of every guest: none of them would hear of a shutdown."""
        for one in self.domains().values():
            if one.isActive():
                one.destroy()


class InPulumi(Story):
    def __init__(self, stack: Stack, example: str, daemon: Any, **settings: str) -> None:
        super().__init__(stack.names["P"].rstrip("-"), daemon, **settings)
        self.stack = stack
        shutil.copyfile(EXAMPLES / example / "__main__.py", stack.project / "__main__.py")
        project = yaml.safe_load((EXAMPLES / example / "Pulumi.yaml").read_text(encoding="utf-8"))
        stack.set_project(config=project["config"])
        self._file = stack.project / "Pulumi.dev.yaml"

    def _run(self) -> str:
        kept = yaml.safe_load(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}
        kept["config"] = {f"{self.stack.name}:{name}": word for name, word in self.settings.items()}
        self._file.write_text(yaml.safe_dump(kept), encoding="utf-8")
        return self.stack.up().text

    def settle(self) -> None:
        self.stack.settle()

    def destroy(self) -> None:
        self.cut()
        self.stack("state", "unprotect", "--all", "--yes")
        self.stack.destroy()


class InHcl(Story):
    def __init__(self, tofu: Tofu, example: str, daemon: Any, **settings: str) -> None:
        super().__init__(tofu.names["P"], daemon, **settings)
        self.tofu = tofu

    def _run(self) -> str:
        known = (self.tofu.module / "variables.tf").read_text(encoding="utf-8")
        self.tofu.given = {name: word for name, word in self.settings.items() if f'"{name}"' in known}
        return self.tofu.apply().text

    def settle(self) -> None:
        self.tofu.settle()

    def destroy(self) -> None:
        self.cut()
        main = self.tofu.module / "main.tf"
        text = main.read_text(encoding="utf-8").replace("prevent_destroy = true", "prevent_destroy = false")
        main.write_text(text, encoding="utf-8")
        self.tofu.destroy()


class ByCommands(Story):
    """A script, with its settings in the environment."""

    def __init__(self, prefix: str, example: str, daemon: Any, **settings: str) -> None:
        super().__init__(prefix, daemon, **settings)
        (self.script,) = (EXAMPLES / example).glob("*.sh")

    def _run(self) -> str:
        given = {name.upper(): word for name, word in self.settings.items()}
        path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return _said(["sh", str(self.script)], {**os.environ, **given, "PATH": path})

    def destroy(self) -> None:
        self.cut()
        base = self.settings["pool"]
        if found := self.domains():
            _jvp("instance", "delete", *(one.name() for one in found.values()))
        for kind, end in (("template", "golden"), ("volume", "data")):
            names = self.daemon.storagePoolLookupByName(base).listVolumes()
            if any(f"{self.prefix}-{end}" in name for name in names):
                _jvp(kind, "delete", f"{base}/{self.prefix}-{end}")


def _said(words: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def _jvp(*words: str) -> str:
    return _said([str(VENV / "bin" / "jvp"), *words], dict(os.environ))


@pytest.fixture(scope="module")
def base(daemon: Any, prefix: str, run_folder: Path, cidrs: Callable[[], str], image: Path) -> Iterator[dict[str, str]]:
    """What every story finds: a pool with the micro guest and a system that halts at once, and a network."""
    halts = run_folder / "halts.img"
    halts.write_bytes(b"\xfa\xf4".ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    pool, network, folder = f"{prefix}base", f"{prefix}lan", run_folder / "base"
    documents = [
        {"kind": "StoragePool", "name": pool, "properties": {"path": str(folder)}},
        {"kind": "Network", "name": network, "properties": {"cidr": cidrs()}},
        *(
            {"kind": "Template", "name": name, "properties": {"pool": pool, "source": {"path": str(path)}}}
            for name, path in (("micro", image), ("halts", halts))
        ),
    ]
    file = run_folder / "base.yaml"
    file.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    _jvp("apply", "-f", str(file))
    yield {"pool": pool, "network": network, "template": f"{pool}/micro"}
    _jvp("delete", "-f", str(file))
    for path in (file, halts):
        path.unlink()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def tell(
    request: pytest.FixtureRequest, started: Start, base: dict[str, str], daemon: Any, prefix: str
) -> Callable[..., Story]:
    """Begins a story by a door."""

    def begin(door: str, example: str, **settings: str) -> Story:
        given = {**base, **settings}
        if door == "pulumi":
            return InPulumi(request.getfixturevalue("stack"), example, daemon, **given)
        if door == "hcl":
            return InHcl(request.getfixturevalue("make_module")(example), example, daemon, **given)
        request.getfixturevalue("leftovers")
        return ByCommands(f"{prefix}c{example[:2]}", example, daemon, **given)

    return begin


def disk(domain: Any, alias: str) -> tuple[str, str]:
    """Format and path of what a disk is now."""
    found = {value(one, "alias/@name"): one for one in parse(domain.XMLDesc(2)).iterfind("devices/disk")}
    one = found[f"ua-jvp-{alias}"]
    return str(value(one, "driver/@type")), str(value(one, "source/@file"))


def inside(domain: str, alias: str, what: str) -> str:
    """The command by which a running guest's disk is written to, as the guest would; then others read it, too."""
    at = f"/machine/peripheral/ua-jvp-{alias}/virtio-backend"
    monitor = f"virsh -q qemu-monitor-command {domain} --hmp"
    return " && ".join(f"{monitor} 'qemu-io -d {at} \"{one}\"'" for one in (what, "flush"))


def holds(domain: Any, alias: str, letter: int, place: int) -> bool:
    format, path = disk(domain, alias)
    words = ["qemu-io", "-U", "-r", "-f", format, "-c", f"read -P {letter} {place} 64k", path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert "read 65536/65536" in told, told
    return "verification failed" not in told


def stands_on(domain: Any) -> str:
    """What the root disk is a copy-on-write child of."""
    words = ["qemu-img", "info", "-U", "--output=json", disk(domain, "root")[1]]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return str(json.loads(told)["full-backing-filename"])


@doors("upgrade")
def test_back_to_a_snapshot_when_an_upgrade_failed(tell: Callable[..., Story], door: str) -> None:
    story = tell(door, "03-upgrade")
    spoil = inside(f"{story.prefix}-web", "root", f"write -P 7 {LAST} 64k")
    if door == "cli":
        story.run(upgrade=f"{spoil}; false")
    else:
        story.run()
        subprocess.run(spoil, shell=True, check=True)
        assert holds(story.domain("web"), "root", 7, LAST)
        story.run(failed="1")
    assert not holds(story.domain("web"), "root", 7, LAST)
    assert story.running() == {"web"}
    story.settle()
    story.destroy()


@doors("golden")
def test_a_golden_image_and_its_fleet(tell: Callable[..., Story], door: str, base: dict[str, str]) -> None:
    story = tell(door, "04-golden-image", template=f"{base['pool']}/halts", memory="32MiB")
    story.run()
    assert story.running() == {"builder", "web1", "web2", "web3"}
    golden = json.loads(_jvp("template", "show", f"{base['pool']}/{story.prefix}-golden", "-o", "json"))
    assert golden["sourceId"] == f"{story.domain('builder').UUIDString()}/v1"
    assert {stands_on(story.domain(name)) for name in ("web1", "web2", "web3")} == {golden["path"]}
    story.settle()
    story.destroy()


@doors("database")
def test_data_outlives_the_database_instance(tell: Callable[..., Story], door: str, base: dict[str, str]) -> None:
    story = tell(door, "05-database", size="1MiB")
    story.run()
    first = stands_on(story.domain("db"))
    subprocess.run(inside(f"{story.prefix}-db", "disk-data", "write -P 7 0 64k"), shell=True, check=True)
    story.cut()
    story.run(template=f"{base['pool']}/halts")
    assert stands_on(story.domain("db")) != first
    assert holds(story.domain("db"), "disk-data", 7, 0)
    story.settle()
    story.destroy()


@doors("blue and green")
def test_ten_blue_and_green_instances(tell: Callable[..., Story], door: str, base: dict[str, str]) -> None:
    blue, green = ({f"{colour}{number}" for number in range(1, 6)} for colour in ("blue", "green"))
    halts = f"{base['pool']}/halts"
    story = tell(door, "06-blue-green", blue=halts, green=halts, live="blue", memory="32MiB")
    story.run()
    assert set(story.domains()) == blue | green
    assert story.running() == blue
    story.cut()
    story.run(live="green")
    assert story.running() == green
    story.settle()
    story.destroy()


@doors("web server", "pulumi", "hcl")
def test_a_web_server_and_its_address(
    tell: Callable[..., Story], door: str, base: dict[str, str], cidrs: Callable[[], str]
) -> None:
    """Without the way in, which would be in the packet filter of this machine; tests/hosts/test_forwards.py has one."""
    cidr = cidrs()
    story = tell(door, "07-web-server", template=f"{base['pool']}/halts", memory="32MiB", cidr=cidr, port="0")
    story.run()
    assert story.running() == {"server"}
    lan = parse(story.daemon.networkLookupByName(f"{story.prefix}-lan").XMLDesc(0))
    assert value(lan, "ip/dhcp/host/@ip") == f"{cidr.rpartition('.')[0]}.10"
    story.settle()
    story.destroy()


@doors("dual stack", "pulumi", "hcl")
def test_guests_with_both_ip_versions(
    tell: Callable[..., Story], door: str, base: dict[str, str], cidrs: Callable[[], str]
) -> None:
    cidr = cidrs()
    six = f"fd33:{secrets.token_hex(2)}:{secrets.token_hex(2)}::"
    settings = {"template": f"{base['pool']}/halts", "memory": "32MiB", "cidr": cidr, "cidr6": f"{six}/64"}
    story = tell(door, "10-dual-stack", **settings)
    story.run()
    assert story.running() == {"db", "app"}
    lan = parse(story.daemon.networkLookupByName(f"{story.prefix}-lan").XMLDesc(0))
    assert value(lan, "ip[@family=ipv6]/dhcp/host/@ip") == str(ipaddress.ip_address(f"{six}10"))
    assert value(lan, "forward/nat/@ipv6") == "yes"
    story.settle()
    story.destroy()


def linked(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", "link", *words], check=check, capture_output=True, text=True)


@doors("own bridge", "pulumi", "hcl")
def test_a_guest_on_a_bridge_of_the_node(tell: Callable[..., Story], door: str, base: dict[str, str]) -> None:
    """The bridge is on a VLAN interface of one end of a wire, or on the wire where this kernel knows no VLANs."""
    wire, bridge = f"ks{secrets.token_hex(3)}", f"kv{secrets.token_hex(3)}"
    story = tell(door, "11-own-bridge", template=f"{base['pool']}/halts", memory="32MiB", bridge=bridge)
    try:
        linked("add", wire, "type", "veth")
        linked("add", bridge, "type", "bridge")
        vlan = linked("add", "link", wire, "name", f"{wire}.42", "type", "vlan", "id", "42", check=False)
        inside = f"{wire}.42" if vlan.returncode == 0 else wire
        linked("set", inside, "master", bridge)
        linked("set", bridge, "up")
        story.run()
        card = parse(story.domain("printer").XMLDesc(0)).find("devices/interface")
        assert card is not None
        assert value(card, "source/@bridge") == bridge
        members = linked("show", "master", bridge).stdout
        assert str(value(card, "target/@dev")) in members
        assert inside in members
        story.settle()
        story.destroy()
    finally:
        for name in (wire, bridge):
            linked("del", name, check=False)


@doors("lab", "pulumi", "hcl")
def test_an_isolated_lab_behind_a_firewall(
    tell: Callable[..., Story], door: str, base: dict[str, str], cidrs: Callable[[], str]
) -> None:
    story = tell(door, "08-isolated-lab", template=f"{base['pool']}/halts", memory="32MiB", cidr=cidrs())
    story.run()
    assert story.running() == {"one", "two"}
    for name in ("one", "two"):
        filters = [one.get("filter") for one in parse(story.domain(name).XMLDesc(0)).iter("filterref")]
        assert filters == [f"{story.prefix}-inside"]
    lab = parse(story.daemon.networkLookupByName(f"{story.prefix}-lab").XMLDesc(0))
    assert lab.find("forward") is None
    story.settle()
    story.destroy()


@doors("cluster", "pulumi", "hcl")
def test_a_cluster_with_fixed_addresses_and_names(
    tell: Callable[..., Story], door: str, base: dict[str, str], cidrs: Callable[[], str]
) -> None:
    """Without the way in, which would be in the packet filter of this machine. The guests halt, so none asks for its
    address, and the network's DNS answers a name from then on: what it keeps for them is shown."""
    cidr = cidrs()
    stem = cidr.rpartition(".")[0]
    guests = {"balancer": f"{stem}.10", **{f"node{one}": f"{stem}.{10 + one}" for one in (1, 2, 3)}}
    story = tell(door, "09-cluster", template=f"{base['pool']}/halts", memory="32MiB", cidr=cidr, port="0")
    story.run()
    assert story.running() == set(guests)
    lan = parse(story.daemon.networkLookupByName(f"{story.prefix}-lan").XMLDesc(0))
    assert {str(one.get("name")): one.get("ip") for one in lan.iterfind("ip/dhcp/host")} == guests
    story.settle()
    story.destroy()
