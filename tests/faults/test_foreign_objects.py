"""What others made on the node stays as it is, to the letter, whatever happens to ours beside it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from faults.forks import Forks
from faults.scenes import Stage
from faults.trial import Trial
from hosts.daemon import SystemHost
from hosts.inventory import difference, inventory, remove
from jvp.core.identity import Key
from jvp.core.stored import Stored

SCENES = ("network", "pool", "volume", "template", "instance-seed")
MAC = "52:54:00:0d:4b:01"
_DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><os><type>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/></disk>{more}</devices></domain>"""
_CARD = "<interface type='network'><mac address='{mac}'/><source network='{network}'/></interface>"
_NETWORK = "<network><name>{0}</name><bridge name='jvpt{0}'/><ip address='{1}' prefix='24'/></network>"
_POOL = "<pool type='dir'><name>theirs</name><target><path>{0}/theirs</path></target></pool>"
_VOLUME = "<volume><name>{0}</name><capacity unit='MiB'>1</capacity><target><format type='raw'/></target></volume>"


@pytest.fixture(scope="module")
def foreign(fault_node: SystemHost) -> Iterator[dict[str, str]]:
    """A domain, network, pool and volumes of somebody else's, all running; and what they look like."""
    bare = inventory(fault_node.uri, fault_node.pools)
    (fault_node.pools / "theirs").mkdir()
    with contextlib.closing(libvirt.open(fault_node.uri)) as connection:
        pool = connection.storagePoolDefineXML(_POOL.format(fault_node.pools))
        pool.create()
        for name in ("theirs", ".jvp-strange.json"):
            pool.createXML(_VOLUME.format(name))
            (fault_node.pools / "theirs" / name).write_bytes(name.encode() * 1000)
        connection.networkDefineXML(_NETWORK.format("theirs", "192.168.91.1")).create()
        card = _CARD.format(mac=MAC, network="theirs")
        disk = fault_node.pools / "theirs/theirs"
        connection.defineXML(_DOMAIN.format(name="theirs", disk=disk, more=card)).create()
    yield looks(fault_node)
    remove(fault_node.uri, [name for name in inventory(fault_node.uri, fault_node.pools) if name not in bare])
    assert difference(bare, inventory(fault_node.uri, fault_node.pools)) == ""


def looks(host: SystemHost) -> dict[str, str]:
    """What the node holds, with the bytes of the files."""
    found = inventory(host.uri, host.pools)
    for path in host.pools.rglob("*"):
        if path.is_file():
            found[f"bytes {path}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def untouched(host: SystemHost, before: dict[str, str]) -> None:
    """What there was `before` is there, to the letter."""
    now = looks(host)
    assert difference(before, {name: text for name, text in now.items() if name in before}) == ""


def refused(stage: Stage, kind: str, words: str, verb: str, *arguments: Any) -> None:
    """The verb fails, says why, and writes nothing at all."""
    before = looks(stage.host)
    reply = stage.forks.order(verb, *arguments)
    assert (reply.kind, words in (reply.error or "")) == (kind, True), f"{reply.kind}: {reply.error}"
    assert difference(before, looks(stage.host)) == ""


@pytest.fixture(scope="module")
def stage(fault_node: SystemHost, forks: Forks, foreign: dict[str, str]) -> Iterator[Stage]:
    with contextlib.closing(Stage(fault_node, forks)) as made:
        yield made


def key(token: str, name: str) -> Key:
    return Key("", token, f"foreign::{name}", name)


def ours(stage: Stage, token: str, properties: dict[str, Any], name: str) -> Stored:
    """A resource as an engine has it in its state."""
    inputs = stage.forks("check", token, properties)
    stored = stage.forks("create", token, key(token, name), inputs).stored
    found = stage.forks("read", token, stored)
    assert isinstance(found, Stored)
    return found


def test_they_stay_as_they_are(stage: Stage, foreign: dict[str, str]) -> None:
    for name in SCENES:
        trial = Trial(stage, stage.scene(name))
        stored = trial.create()
        if trial.scene.later:
            stored = trial.converge(stored, trial.forks("check", trial.token, dict(trial.scene.later)))
        trial.delete(stored)
    untouched(stage.host, foreign)


def test_their_names_macs_ranges_and_bridges_are_refused(stage: Stage, foreign: dict[str, str]) -> None:
    root = {"rootDisk": {"pool": stage.pool, "size": "8MiB"}, "powerState": "stopped"}
    taken = ("NameTaken", "choose another name")
    wanted: list[tuple[str, dict[str, Any], tuple[str, str]]] = [
        ("Network", {"name": "theirs", "cidr": "192.168.92.0/24"}, taken),
        ("StoragePool", {"name": "theirs", "path": str(stage.host.pools / "other")}, taken),
        ("Volume", {"pool": "theirs", "name": "theirs", "size": "1MiB"}, taken),
        ("Instance", {"name": "theirs", **root}, taken),
        ("Network", {"cidr": "192.168.91.128/25"}, ("Invalid", 'overlaps 192.168.91.0/24 of the network "theirs"')),
        ("Network", {"cidr": "192.168.93.0/24", "bridge": "jvpttheirs"}, ("Invalid", 'the bridge of the network "th')),
        ("Instance", {**root, "nics": [{"name": "a", "mac": MAC.upper()}]}, ("Rejected", 'the MAC of a card of "the')),
        ("Instance", {**root, "disks": [{"name": "a", "volume": "theirs/theirs"}]},
         ("Rejected", 'attached to "theirs" already')),
        ("StoragePool", {"path": str(stage.host.pools / "theirs")},
         ("NameTaken", 'the folder of the storage pool "theirs"')),
    ]  # fmt: skip
    for token, properties, (kind, words) in wanted:
        inputs = stage.forks("check", token, properties)
        refused(stage, kind, words, "create", token, key(token, "theirs"), inputs)
    # An update is refused as a create is.
    for number in (3, 4, 5, 6, 7):
        token, properties, (kind, words) = wanted[number]
        first = root if token == "Instance" else {"cidr": "192.168.92.0/24"}
        stored = ours(stage, token, first, "ours")
        inputs = stage.forks("check", token, {**first, **properties})
        refused(stage, kind, words, "update", token, stored, inputs)
        stage.forks("delete", token, stored)
    untouched(stage.host, foreign)


def test_an_import_writes_nothing(stage: Stage, foreign: dict[str, str]) -> None:
    before = looks(stage.host)
    for token, name in (("Network", "theirs"), ("StoragePool", "theirs"), ("Volume", "theirs/theirs"),
                        ("Instance", "theirs")):  # fmt: skip
        stored = stage.forks("import_", token, name)
        stored = stage.forks("read", token, stored)
        assert stage.forks("diff", token, stored, stored.inputs).changes == ()
        assert difference(before, looks(stage.host)) == ""


@pytest.fixture
def room(stage: Stage) -> Iterator[None]:
    """What a test makes beside the stage is taken away after it."""
    bare = inventory(stage.host.uri, stage.host.pools)
    yield
    remove(stage.host.uri, [name for name in inventory(stage.host.uri, stage.host.pools) if name not in bare])


def test_theirs_in_the_place_of_ours(stage: Stage, room: None) -> None:
    """Ours was removed by hand, and somebody made another of its name: no verb takes it for ours."""
    host = stage.host
    stopped = {"name": "mine", "rootDisk": {"pool": stage.pool, "size": "8MiB"}, "powerState": "stopped"}
    wanted = {
        "Network": ({"name": "mine", "cidr": "192.168.92.0/24"}, {"autostart": False}),
        "StoragePool": ({"name": "mine", "path": str(host.pools / "mine")}, {"autostart": False}),
        "Volume": ({"pool": stage.pool, "name": "mine", "size": "1MiB"}, {"size": "2MiB"}),
        "Instance": (stopped, {"memory": "2GiB"}),
    }
    made = {token: ours(stage, token, properties, "mine") for token, (properties, _) in wanted.items()}
    with contextlib.closing(libvirt.open(host.uri)) as connection:
        _swap(connection, host, connection.storagePoolLookupByUUIDString(stage.pool))
    for token, stored in made.items():
        properties, later = wanted[token]
        inputs = stage.forks("check", token, {**properties, **later})
        # A volume has no uuid: without its record nobody can tell.
        told = ("Rejected", "lost its record") if token == "Volume" else ("NotFound", "refresh the state and run again")
        refused(stage, *told, "update", token, stored, inputs)
        refused(stage, "NameTaken", "choose another name", "create", token, key(token, "mine"), inputs)
        if token == "Volume":
            refused(stage, "Rejected", "lost its record", "delete", token, stored)
            continue
        before = looks(host)
        assert stage.forks("read", token, stored) is None
        stage.forks("delete", token, stored)
        # Of ours there was the root disk, which goes with its instance.
        root = stored.state.get("rootDiskPath") or "\0"
        gone = [name for name in before if name.endswith(root.rpartition("/")[2])]
        assert difference({name: text for name, text in before.items() if name not in gone}, looks(host)) == ""


def _swap(connection: Any, host: SystemHost, base: Any) -> None:
    """Objects of somebody else's in the place of those that are called "mine"."""
    connection.lookupByName("mine").undefine()
    connection.defineXML(_DOMAIN.format(name="mine", disk="/nowhere", more=""))
    for one in (connection.networkLookupByName("mine"), connection.storagePoolLookupByName("mine")):
        one.destroy()
        one.undefine()
    connection.networkDefineXML(_NETWORK.format("mine", "192.168.92.1"))
    connection.storagePoolDefineXML(_POOL.format(host.pools).replace("theirs", "mine"))
    base.refresh()
    for name in ("mine", ".jvp-mine.json"):
        base.storageVolLookupByName(name).delete()
    base.createXML(_VOLUME.format("mine"))


def test_what_they_use_stays(stage: Stage, room: None) -> None:
    """Machines of others on our network, and on a disk of each kind that is ours."""
    host = stage.host
    blank = {"rootDisk": {"pool": stage.pool, "size": "8MiB"}, "powerState": "stopped"}
    full = {"path": str(host.pools / "used"), "deleteData": True}
    made = {
        "Volume": ours(stage, "Volume", {"pool": stage.pool, "size": "1MiB"}, "used"),
        "Template": ours(stage, "Template", {"pool": stage.pool, "source": {"path": str(stage.old)}}, "used"),
        "Instance": ours(stage, "Instance", blank, "used"),
        "StoragePool": ours(stage, "StoragePool", full, "used"),
        "Network": ours(stage, "Network", {"cidr": "192.168.92.0/24"}, "used"),
    }
    disks = [made["Volume"].state["path"], made["Template"].state["path"], made["Instance"].state["rootDiskPath"]]
    kept = ours(stage, "Volume", {"pool": made["StoragePool"].state["name"], "size": "1MiB"}, "kept")
    disks.append(kept.state["path"])
    card = _CARD.format(mac=MAC, network=made["Network"].state["name"])
    with contextlib.closing(libvirt.open(host.uri)) as connection:
        for number, disk in enumerate(disks):
            connection.defineXML(_DOMAIN.format(name=f"user{number}", disk=disk, more=card if number == 3 else ""))
    for number, (token, stored) in enumerate(made.items()):
        refused(stage, "Rejected", f"user{min(number, 3)}", "delete", token, stored)


def test_ours_in_their_pool(stage: Stage, foreign: dict[str, str]) -> None:
    host = stage.host
    inputs = stage.forks("check", "Volume", {"pool": "theirs", "size": "1MiB"})
    stored = stage.forks("create", "Volume", Key("", "Volume", "foreign::ours", "ours"), inputs).stored
    stage.forks("delete", "Volume", stage.forks("read", "Volume", stored))
    untouched(host, foreign)
    assert not [name for name in looks(host).keys() - foreign.keys() if "/theirs/" in name]


def test_theirs_in_our_pool(stage: Stage) -> None:
    """The folder of a pool of ours stays when somebody put something into it."""
    folder = stage.host.pools / "fresh"
    inputs = stage.forks("check", "StoragePool", {"path": str(folder)})
    stored = stage.forks("create", "StoragePool", Key("", "StoragePool", "foreign::pool", "pool"), inputs).stored
    _write(folder / "precious", b"do not lose me")
    reply = stage.forks.order("delete", "StoragePool", stage.forks("read", "StoragePool", stored))
    assert reply.error is None
    assert any("precious" in line for line in reply.notes), reply.notes
    assert [path.name for path in folder.iterdir()] == ["precious"]
    (folder / "precious").unlink()
    folder.rmdir()


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
