"""What others made on the node stays as it is, to the letter, whatever happens to ours beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from faults.forks import Forks
from faults.scenes import Stage
from faults.trial import Trial
from hosts.daemon import SystemHost
from hosts.inventory import difference, inventory, remove
from jvp.core.identity import Key

SCENES = ("network", "pool", "volume", "template", "instance-seed")
_DOMAIN = """<domain type='qemu'><name>theirs</name><memory unit='MiB'>32</memory><os><type>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{0}/theirs/theirs'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>"""
_NETWORK = "<network><name>theirs</name><bridge name='jvpttheirs'/><ip address='192.168.91.1' prefix='24'/></network>"
_POOL = "<pool type='dir'><name>theirs</name><target><path>{0}/theirs</path></target></pool>"
_VOLUME = "<volume><name>{0}</name><capacity unit='MiB'>1</capacity><target><format type='raw'/></target></volume>"


@pytest.fixture
def foreign(fault_node: SystemHost) -> Iterator[dict[str, str]]:
    """A domain, network, pool and volumes of somebody else's, all running; and what they look like."""
    bare = inventory(fault_node.uri, fault_node.pools)
    (fault_node.pools / "theirs").mkdir()
    with contextlib.closing(libvirt.open(fault_node.uri)) as connection:
        pool = connection.storagePoolDefineXML(_POOL.format(fault_node.pools))
        pool.create()
        pool.createXML(_VOLUME.format("theirs"))
        pool.createXML(_VOLUME.format(".jvp-strange.json"))
        connection.networkDefineXML(_NETWORK).create()
        connection.defineXML(_DOMAIN.format(fault_node.pools)).create()
    yield inventory(fault_node.uri, fault_node.pools)
    remove(fault_node.uri, [name for name in inventory(fault_node.uri, fault_node.pools) if name not in bare])
    assert difference(bare, inventory(fault_node.uri, fault_node.pools)) == ""


@pytest.fixture
def stage(fault_node: SystemHost, forks: Forks, foreign: dict[str, str]) -> Iterator[Stage]:
    with contextlib.closing(Stage(fault_node, forks)) as made:
        yield made


def test_they_stay_as_they_are(stage: Stage, foreign: dict[str, str]) -> None:
    host = stage.host
    for name in SCENES:
        trial = Trial(stage, stage.scene(name))
        stored = trial.create()
        if trial.scene.later:
            stored = trial.converge(stored, trial.forks("check", trial.token, dict(trial.scene.later)))
        trial.delete(stored)
    now = inventory(host.uri, host.pools)
    assert difference(foreign, {name: text for name, text in now.items() if name in foreign}) == ""


def test_their_names_are_refused(stage: Stage, foreign: dict[str, str]) -> None:
    host = stage.host
    wanted = {
        "Network": {"name": "theirs", "cidr": "192.168.92.0/24"},
        "StoragePool": {"name": "theirs", "path": str(host.pools / "other")},
        "Volume": {"pool": "theirs", "name": "theirs", "size": "1MiB"},
        "Instance": {"name": "theirs", "rootDisk": {"pool": stage.pool, "size": "8MiB"}},
    }
    before = inventory(host.uri, host.pools)
    for token, properties in wanted.items():
        inputs = stage.forks("check", token, properties)
        reply = stage.forks.order("create", token, Key("", token, "foreign::theirs", "theirs"), inputs)
        assert reply.kind == "NameTaken", f"{token}: {reply.kind}: {reply.error}"
        assert "import it by" in (reply.error or "")
        assert difference(before, inventory(host.uri, host.pools)) == ""


def test_ours_in_their_pool(stage: Stage, foreign: dict[str, str]) -> None:
    host = stage.host
    inputs = stage.forks("check", "Volume", {"pool": "theirs", "size": "1MiB"})
    stored = stage.forks("create", "Volume", Key("", "Volume", "foreign::ours", "ours"), inputs).stored
    stage.forks("delete", "Volume", stage.forks("read", "Volume", stored))
    now = inventory(host.uri, host.pools)
    assert difference(foreign, {name: text for name, text in now.items() if "theirs" in name}) == ""


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
