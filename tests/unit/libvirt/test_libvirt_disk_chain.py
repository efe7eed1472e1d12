"""The chain of a disk, read from samples: whichever way it is told, it has the same layers, and each is somebody's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import libvirt
import pytest
from tests.unit.libvirt.absurd import refusal

from jvp.core.identity import Mark
from jvp.libvirt import disk_chain
from jvp.libvirt.disk_chain import Chain, Whose
from jvp.libvirt.domain.disks import DomainDisk, Domains
from jvp.libvirt.link.xml import parse
from jvp.libvirt.node_view import SeenVolume, View
from jvp.libvirt.storage import lookup
from jvp.libvirt.storage.volume_record import Sidecar

UUID = "5e0f4a42-0b1c-4b6e-9a52-4f2f5b8f8a10"
OWN, BASE, SNAP, THEIRS, DATA = f"/p/jvp-{UUID}-root", "/p/jvp-template-os-0123456789ab", "/p/snap", "/p/s1", "/p/data"
LAYERS = f"""
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{THEIRS}' index='3'/>
<backingStore type='file' index='2'><format type='qcow2'/><source file='{OWN}'/>
<backingStore type='file' index='1'><format type='raw'/><source file='{BASE}'/><backingStore/></backingStore>
</backingStore><target dev='vda'/></disk>"""


class Volume:
    def __init__(self, path: str, format: str, base: tuple[str, str] | None, capacity: int, file: bool) -> None:
        below = f"<backingStore><path>{base[0]}</path><format type='{base[1]}'/></backingStore>" if base else ""
        self.xml = f"""<volume><name>{path[3:]}</name><capacity unit='bytes'>{capacity}</capacity>
            <physical unit='bytes'>512</physical><target><path>{path}</path><format type='{format}'/></target>
            {below}</volume>"""
        self.at, self.file = path, file

    def name(self) -> str:
        return self.at[3:]

    def path(self) -> str:
        return self.at

    def XMLDesc(self, _flags: int) -> str:
        if not self.file:
            raise refusal(libvirt.VIR_ERR_NO_STORAGE_VOL)
        return self.xml


class Node(View):
    """A node with one pool, whose volumes a test puts there."""

    def __init__(self) -> None:
        super().__init__(SimpleNamespace(connection=None))  # type: ignore[arg-type]
        self.asked: list[str] = []

    def put(
        self, path: str, format: str = "qcow2", base: tuple[str, str] | None = None, *, capacity: int = 1024,
        kind: str | None = None, file: bool = True,
    ) -> Node:  # fmt: skip
        seen = SeenVolume(Volume(path, format, base, capacity, file), None)
        seen._record = (Sidecar(kind, Mark("", 0), "whole", "n", format) if kind else None,)
        self._listed[path] = seen
        return self

    def gives(self, *disks: Any) -> Node:
        """Domains that are off, each with one of the disks."""
        self._domains = Domains.__new__(Domains)
        self._domains.users = {}
        for number, element in enumerate(disks):
            found = DomainDisk(None, f"d{number}", True, "vda", None, False, element)  # type: ignore[arg-type]
            self._domains.users[str(disk_chain.path_of(element))] = [found]
        return self

    def meant(self, reference: str, path: Any = ()) -> SeenVolume:
        found = self._listed[reference.replace("pool/", "/p/")]
        assert found is not None
        return found

    def listed(self, path: str) -> SeenVolume | None:
        self.asked.append(path)
        return self._listed.get(path)

    def learned(self, path: str) -> SeenVolume | None:
        return self.listed(path)

    def volume(self, path: str) -> SeenVolume | None:
        found = self.listed(path)
        return found if found is not None and found.has_file else None


def disk(path: str, format: str = "qcow2", kind: str = "file") -> Any:
    source = f"<source {kind}='{path}'/>"
    return parse(f"<disk type='{kind}'><driver type='{format}'/>{source}<target dev='vda'/></disk>")


def node() -> Node:
    found = Node().put(OWN, base=(BASE, "raw")).put(BASE, "raw", ("/etc/passwd", "raw"), capacity=99)
    found.put(THEIRS, base=(OWN, "qcow2"), capacity=2048).put(DATA, kind="volume")
    return found.put(SNAP, base=(OWN, "qcow2"), kind="snapshot", capacity=4096)


def layers(chain: Chain) -> list[tuple[str, str, Whose]]:
    return [(layer.path, layer.format, layer.whose) for layer in chain.layers]


def test_a_running_guest_a_guest_that_is_off_and_the_volumes_tell_the_same() -> None:
    running, off = Chain(node(), parse(LAYERS)), Chain(node(), disk(THEIRS))
    bare = parse(LAYERS)
    bare.remove(bare.find("backingStore"))
    wanted = [(THEIRS, "qcow2", Whose.OTHER), (OWN, "qcow2", Whose.ROOT), (BASE, "raw", Whose.TEMPLATE)]
    assert layers(running) == layers(off) == layers(Chain(node(), bare)) == wanted
    half = parse(LAYERS)
    half.find("backingStore").remove(half.find("backingStore/backingStore"))
    assert layers(Chain(node(), half)) == wanted
    assert [layer.size for layer in running.layers] == [layer.size for layer in off.layers] == [2048, 1024, 99]


def test_it_is_read_once_and_not_before_it_is_asked() -> None:
    view = node()
    chain = Chain(view, parse(LAYERS))
    assert not chain.over(THEIRS)
    assert view.asked == []
    assert [layer.path for layer in chain.layers] == [THEIRS, OWN, BASE]  # the definition tells all of it
    assert view.asked == []
    for _ in range(3):
        assert len(Chain(view, disk(THEIRS)).layers) == 3
    assert view.asked == [THEIRS, OWN]


def test_another_tools_over_ours() -> None:
    chain = Chain(node(), disk(THEIRS))
    assert [layer.path for layer in chain.over(OWN)] == [THEIRS]
    assert [layer.path for layer in chain.over(BASE)] == []  # our root disk is no layer over its template
    assert not chain.stands_for(OWN)
    assert chain.stands_for(THEIRS)


def test_ours_over_ours() -> None:
    """As a snapshot of ours will make it: a layer with a record, which says that no program declares it."""
    view = node().put("/p/snap2", base=(SNAP, "qcow2"), kind="snapshot")
    chain = Chain(view, disk("/p/snap2"))
    assert [(layer.path, layer.whose) for layer in chain.over(OWN)] == [("/p/snap2", Whose.LAYER), (SNAP, Whose.LAYER)]
    assert chain.stands_for(OWN)
    assert chain.active is not None
    assert chain.active.whose is Whose.LAYER


@pytest.mark.parametrize(("top", "middle"), [(None, "snapshot"), ("snapshot", None)])
def test_ours_and_another_tools_over_ours(top: str | None, middle: str | None) -> None:
    view = Node().put(DATA, kind="volume").put("/p/a", base=(DATA, "qcow2"), kind=middle)
    chain = Chain(view.put("/p/b", base=("/p/a", "qcow2"), kind=top), disk("/p/b"))
    assert [layer.path for layer in chain.over(DATA)] == ["/p/b", "/p/a"]
    assert not chain.stands_for(DATA)


def test_ours_over_another_tools() -> None:
    """A volume, or a root disk, that somebody put onto theirs is a disk in its own right: nothing lies over theirs."""
    view = Node().put("/p/theirs").put(DATA, base=("/p/theirs", "qcow2"), kind="volume")
    chain = Chain(view, disk(DATA))
    assert layers(chain) == [(DATA, "qcow2", Whose.VOLUME), ("/p/theirs", "qcow2", Whose.OTHER)]
    assert chain.over("/p/theirs") == ()
    other = f"/p/jvp-{UUID.replace('5', '6')}-root"
    assert Chain(view.put(other, base=(DATA, "qcow2")), disk(other)).over(DATA) == ()


def test_a_broken_chain_ends_where_it_is_broken() -> None:
    view = node().put("/p/top", base=("/p/gone", "qcow2"))
    chain = Chain(view, disk("/p/top"))
    assert layers(chain) == [("/p/top", "qcow2", Whose.OTHER), ("/p/gone", "qcow2", Whose.UNKNOWN)]
    assert chain.over("/p/gone") != ()
    assert chain.over(OWN) == ()
    assert [layer.size for layer in chain.layers] == [1024, None]
    view.put("/p/lost", file=False)
    assert Chain(view.put("/p/over", base=("/p/lost", "raw")), disk("/p/over")).layers[-1].size is None


def test_block_devices_and_disks_without_a_file() -> None:
    inner = "<backingStore type='block'><format type='raw'/><source dev='/dev/vg/base'/><backingStore/></backingStore>"
    root = parse(f"<disk type='block'><driver type='qcow2'/><source dev='/dev/vg/top'/>{inner}</disk>")
    running = Chain(Node(), root)
    assert [(layer.path, layer.format) for layer in running.layers] == [
        ("/dev/vg/top", "qcow2"),
        ("/dev/vg/base", "raw"),
    ]
    mixed = Node().put("/dev/vg/top", base=(DATA, "raw")).put(DATA, "raw", kind="volume")
    assert [layer.path for layer in Chain(mixed, disk("/dev/vg/top", kind="dev")).over(DATA)] == ["/dev/vg/top"]
    remote = parse("<disk type='network'><driver type='raw'/><source protocol='rbd' name='pool/image'/></disk>")
    for empty in (remote, parse("<disk type='file' device='cdrom'><target dev='sda'/></disk>")):
        chain = Chain(Node(), empty)
        assert (chain.path, chain.active, chain.layers, chain.over(DATA)) == (None, None, (), ())


def test_a_circle_ends() -> None:
    view = Node().put("/p/a", base=("/p/b", "qcow2")).put("/p/b", base=("/p/a", "qcow2"))
    assert [layer.path for layer in Chain(view, disk("/p/a")).layers] == ["/p/a", "/p/b"]
    itself = Node().put("/p/a", base=("/p/a", "qcow2"))
    assert [layer.path for layer in Chain(itself, disk("/p/a")).layers] == ["/p/a"]


def test_a_raw_disk_stands_on_nothing_whatever_its_guest_wrote_into_it() -> None:
    view = Node().put(DATA, "qcow2", ("/etc/passwd", "raw"), kind="volume", capacity=1 << 40)
    chain = Chain(view, disk(DATA, "raw"))
    assert layers(chain) == [(DATA, "raw", Whose.VOLUME)]
    assert chain.layers[0].size == 512  # as long as the file, whatever the head says
    assert chain.over("/etc/passwd") == ()


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Which volumes say of themselves that they stand on a file."""
    found: dict[str, list[str]] = {}
    monkeypatch.setattr(lookup, "backing_users", lambda _connection, path: found.get(path, []))
    monkeypatch.setattr(lookup, "names", lambda _pool: ["data", "s1", "s2", "liar", "guest"])
    return found


def test_from_below_as_from_above(heads: dict[str, list[str]]) -> None:
    """What a volume lies under: the chains of the domains' disks, and the volumes that nobody has, say the same."""
    view = Node().put(DATA, kind="volume").put(THEIRS, base=(DATA, "qcow2")).put("/p/s2", base=(THEIRS, "qcow2"))
    heads |= {DATA: ["pool/s1"], THEIRS: ["pool/s2"]}
    view.gives(disk("/p/s2"))
    covering, stands = disk_chain.covering(view, None, DATA)  # type: ignore[arg-type]
    assert ([one.name for one in covering], stands) == (["d0"], True)
    assert {layer.path for layer in Chain(view, covering[0].element).over(DATA)} == {THEIRS, "/p/s2"}
    assert disk_chain.standing(view, None, DATA) == {THEIRS: "pool/s1", "/p/s2": "pool/s2"}  # type: ignore[arg-type]
    assert disk_chain.covering(view.gives(), None, DATA) == ([], True)  # type: ignore[arg-type]


def test_what_a_guest_writes_into_its_raw_disk_covers_nobodys_volume(heads: dict[str, list[str]]) -> None:
    view = Node().put(DATA, kind="volume").put("/p/guest", base=(DATA, "qcow2"))
    view.put("/p/liar", "raw", (DATA, "qcow2"), kind="volume")
    heads[DATA] = ["pool/liar", "pool/guest"]
    assert disk_chain.children(view.gives(disk("/p/guest", "raw")), DATA) == {}
    assert disk_chain.children(view.gives(disk("/p/guest")), DATA) == {"/p/guest": "pool/guest"}
    assert disk_chain.children(view.gives(), DATA) == {"/p/guest": "pool/guest"}  # for all that is known it is one


def test_a_layer_of_ours_is_seen_by_its_name() -> None:
    ours = f"jvp-{UUID}-s1"
    made = [f"jvp-{UUID}-root", f"jvp-{UUID}-seed", f"jvp-{UUID}-nvram", BASE[3:], "data", ".jvp-data.json"]
    assert not disk_chain.may_hold_layers(made)
    assert disk_chain.may_hold_layers([*made, "snap"])
    assert disk_chain.may_hold_layers([*made, ours, f".jvp-{ours}.json"])
    view = node().put(f"/p/{ours}", base=(DATA, "qcow2"), kind="snapshot")
    over = view.gives(disk(DATA), disk(f"/p/{ours}"))
    assert (found := disk_chain.under_ours(over, DATA)) is not None
    assert found.name == "d1"
    assert disk_chain.under_ours(over, OWN) is None
