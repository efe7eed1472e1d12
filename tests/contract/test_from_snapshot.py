"""What is made from snapshots, and from volumes under them: byte by byte, while their instance runs on."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.contract import test_snapshots
from tests.contract.conftest import Bag, Bench
from tests.contract.storage_support import Killed, Lines, Provider, key, spying, template_spec, volume_spec
from tests.contract.test_snapshots import PIECE, Machine
from tests.extent import sample

from jvp.core.errors import Busy, Invalid, NotFound, Rejected
from jvp.core.outlook import Asked
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.storage import copy_volume, lookup, volume_claim, volume_record

make = test_snapshots.make


def content(stored: Stored, folder: Path) -> bytes:
    out = folder / "content"
    words = ["qemu-img", "convert", "-f", stored.state["format"], "-O", "raw", stored.state["path"], out]
    subprocess.run(words, check=True, capture_output=True)
    whole = out.read_bytes()
    assert all(len(set(whole[at : at + PIECE])) == 1 for at in range(0, len(whole), PIECE))
    return whole[::PIECE]


def flat(stored: Stored) -> bool:
    words = ["qemu-img", "info", "--output=json", stored.state["path"]]
    return b"backing-filename" not in subprocess.run(words, capture_output=True, check=True).stdout


def volume(bench: Bench, machine: Machine, **more: Any) -> Bag:
    return {"name": bench.name("c"), "pool": bench.pool.id if bench.pool else "", **more}


@pytest.mark.parametrize(("state", "format"), [("running", "raw"), ("stopped", "qcow2")])
def test_a_volume_holds_what_the_snapshot_does(
    make: Callable[..., Machine], bench: Bench, tmp_path: Path, state: str, format: str
) -> None:
    """Each of its disks, in each format, and larger; it stays when the snapshot goes."""
    machine = make(state, format)
    machine.write(1, 0)
    first = machine.take("s1")
    machine.write(2, 1)
    second = machine.take("s2")
    machine.write(3, 2)
    made: list[tuple[Stored, Bag, bytes]] = []
    for snapshot, disk, to, size in (
        (first, "root", "qcow2", 1),
        (second, "data", "raw", 2),
        (first, "data", "raw", 1),
    ):
        more = {"size": f"{size}MiB"} if size > 1 else {}
        raw = volume(bench, machine, snapshot=snapshot.id, disk=disk, format=to, **more)
        said = Lines()
        one = bench.create("Volume", raw["name"], raw, said.work()).stored
        assert (one.state["sizeBytes"], one.state["snapshotId"], one.state["disk"]) == (size << 20, snapshot.id, disk)
        holds = bytes((1, 2 if snapshot is second else 0)).ljust(16 * size, b"\0")
        assert (content(one, tmp_path), flat(one)) == (holds, True)
        made.append((one, raw, holds))
    by_name = {**made[0][1], "snapshot": f"{machine.raw['name']}/s1"}
    del by_name["disk"]
    assert bench.plan("Volume", made[0][0], by_name) == []
    assert bench.plan("Volume", made[0][0], {**by_name, "disk": "data"}) == ["disk"]
    machine.drop(first)
    machine.drop(second)
    for one, raw, holds in made:  # killed before an engine noted it, it is taken up without the snapshot
        assert bench.create("Volume", raw["name"], raw).stored.state == one.state
        bench.converged("Volume", one, raw)
        assert content(one, tmp_path) == holds
        bench.delete("Volume", one)
    assert machine.reads() == [bytes((1, 2, 3, 0, 0, 0))] * 2


@pytest.mark.parametrize("of", ["snapshot", "volume"])
def test_a_template_is_a_disk_that_stands_on_nothing(
    make: Callable[..., Machine], bench: Bench, tmp_path: Path, of: str
) -> None:
    """Copied once, whatever becomes of what it came from, until the program names another one."""
    machine = make("running" if of == "snapshot" else "stopped", "raw")
    machine.write(1, 0)
    first = machine.take("s1")
    machine.write(2, 1)
    if of == "snapshot":
        source: Bag = {"snapshot": first.id, "disk": "data"}
        same = {"snapshot": f"{machine.raw['name']}/s1", "disk": "data", "format": "qcow2"}
    else:
        source, place = {"volume": machine.volume.id}, machine.volume.state["poolName"]
        same = {"volume": f"{place}/{machine.volume_raw['name']}"}
    raw: Bag = {"name": bench.name("t"), "pool": bench.pool.id if bench.pool else "", "source": source}
    said = Lines()
    asked = Asked(lambda: bench.key("Template", raw["name"]))
    bench.calls.preview_create("Template", bench.inputs("Template", raw), said.work(), asked)
    assert [line for line in said.warnings if "is a copy of the" in line] == said.warnings
    assert len(said.warnings) == 1
    made = bench.create("Template", raw["name"], raw).stored
    holds = bytes((1, 0 if of == "snapshot" else 2)).ljust(16, b"\0")
    assert (content(made, tmp_path), flat(made), made.state["format"]) == (holds, True, "qcow2")
    assert made.state["sourceId"] == source[of]
    assert Path(made.state["path"]).stat().st_mode & 0o777 == 0o444
    created = made.state["createdAt"]
    machine.write(3, 2)
    assert bench.create("Template", raw["name"], raw).stored.state == made.state  # killed before it was noted
    read = bench.read("Template", made)
    assert read is not None
    for change in ({}, {"source": same}):
        assert bench.plan("Template", read, {**raw, **change}) == []
    second = machine.take("s2")
    machine.drop(first)
    named = bench.update("Template", read, {**raw, "source": same, "os": "debian"}).stored
    assert (named.state["os"], named.state["digest"], named.state["createdAt"]) == (
        "debian",
        read.state["digest"],
        created,
    )
    assert content(named, tmp_path) == holds
    other = {**raw, "source": {"snapshot": second.id, "disk": "data", "format": "raw"}}
    assert "source.snapshot" in bench.plan("Template", named, other)
    renewed = bench.update("Template", named, other).stored
    assert (content(renewed, tmp_path)[:3], renewed.state["format"]) == (bytes((1, 2, 3)), "raw")
    bench.converged("Template", renewed, other)
    image = tmp_path / "image"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
    renewed = bench.update("Template", renewed, {**raw, "source": {"path": str(image)}}).stored
    assert (renewed.state.get("sourceId"), renewed.state.get("sourceName")) == (None, None)
    bench.delete("Template", renewed)
    machine.drop(second)
    assert machine.reads() == [bytes((1, 2, 3, 0, 0, 0))] * 2


def files(machine: Machine) -> set[str]:
    return {path.name for path in machine.folder.iterdir()}


def test_a_volume_that_lies_under_a_snapshot_is_cloned_as_a_guest_sees_it(
    make: Callable[..., Machine], bench: Bench, tmp_path: Path
) -> None:
    """In its own format and in the other one, larger in the same step; not while something writes to it."""
    machine = make("running", "raw")
    machine.write(1, 0)
    snapshot = machine.take("s1")
    machine.write(2, 1)
    raw = volume(bench, machine, volume=machine.volume.id, format="raw")
    before = files(machine)
    with pytest.raises(Rejected, match=f"is in use by {machine.raw['name']}") as caught:
        bench.create("Volume", raw["name"], raw)
    assert caught.value.path == ("volume",)
    assert files(machine) == before
    machine.domain.destroy()
    for more in ({}, {"format": "qcow2", "size": "2MiB"}):
        wanted = {**raw, **more}
        made = bench.create("Volume", raw["name"], wanted).stored
        assert content(made, tmp_path) == bytes((1, 2)).ljust(made.state["sizeBytes"] // PIECE, b"\0")
        bench.converged("Volume", made, wanted)
        bench.delete("Volume", made)
    assert files(machine) == before
    machine.drop(snapshot)
    made = bench.create("Volume", raw["name"], {**raw, "format": "qcow2"}).stored
    assert (content(made, tmp_path)[:3], flat(made)) == (bytes((1, 2, 0)), True)
    bench.delete("Volume", made)
    assert machine.reads() == [bytes((1, 2, 0, 0, 0, 0))] * 2


def test_raw_that_its_guest_made_look_like_qcow2_gives_no_file_of_the_host(
    make: Callable[..., Machine], bench: Bench, tmp_path: Path
) -> None:
    """The header that is believed is that of a layer of ours."""
    machine = make("stopped", "raw")
    evil = tmp_path / "evil"
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", evil, "1G"]
    subprocess.run(words, check=True)
    root = Path(machine.active()["root"][1])
    with root.open("r+b") as file:
        file.write(evil.read_bytes())
    snapshot = machine.take("s1")
    raw = volume(bench, machine, snapshot=snapshot.id)
    made = bench.create("Volume", raw["name"], raw).stored
    out = tmp_path / "out"
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", made.state["path"], out], check=True)
    assert out.read_bytes() == root.read_bytes()
    bench.delete("Volume", made)
    machine.drop(snapshot)


def test_what_is_deleted_while_it_is_copied(
    make: Callable[..., Machine], bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The deletion is refused, naming what stands there; where it came first, the copy is."""
    machine = make("stopped")
    machine.write(1, 0)
    snapshot = machine.take("s1")
    before = files(machine)
    raw = volume(bench, machine, snapshot=snapshot.id)
    convert, create = copy_volume.convert, lookup.create_volume
    refused: list[str] = []

    def delete_first(*arguments: Any, **named: Any) -> Any:
        with pytest.raises(Rejected, match="is the base of") as caught:
            machine.drop(snapshot)
        refused.append(str(caught.value))
        return convert(*arguments, **named)

    monkeypatch.setattr(copy_volume, "convert", delete_first)
    made = bench.create("Volume", raw["name"], raw).stored
    assert "/jvp-copy-" in refused[0]
    assert content(made, tmp_path)[:2] == bytes((1, 0))
    bench.delete("Volume", made)
    monkeypatch.setattr(copy_volume, "convert", convert)

    def deleted_before(*arguments: Any, **named: Any) -> Any:
        if "/jvp-copy-" in f"/{arguments[3]}":
            machine.drop(snapshot)
        return create(*arguments, **named)

    monkeypatch.setattr(lookup, "create_volume", deleted_before)
    with pytest.raises((Busy, Rejected)):
        bench.create("Volume", raw["name"], raw)
    assert files(machine) - before == set()
    assert not any("jvp-copy" in name for name in files(machine))


WRONG = [
    ({"snapshot": "s1"}, "snapshot", NotFound, "write it as instance/name"),
    ({"snapshot": "no-such/s1"}, "snapshot", NotFound, 'there is no instance "no-such"'),
    ({"snapshot": "{name}/s2"}, "snapshot", NotFound, 'has no snapshot "s2"; there are: .*/s1'),
    ({"snapshot": "{name}/theirs"}, "snapshot", Rejected, "another tool's"),
    ({"disk": "vdz"}, "disk", NotFound, "holds no disk .*; it holds: data, root"),
    ({"size": "512KiB"}, "size", Invalid, "has 1048576"),
]


def test_snapshots_that_nothing_is_made_from(make: Callable[..., Machine], bench: Bench) -> None:
    machine = make("stopped")
    snapshot = machine.take("s1")
    theirs = machine.domain.snapshotCreateXML("<domainsnapshot><name>theirs</name></domainsnapshot>", 0)
    before = files(machine)
    for bag, path, kind, says in WRONG:
        bag = {name: value.format(name=machine.raw["name"]) for name, value in bag.items()}
        raw = volume(bench, machine, **{"snapshot": snapshot.id, **bag})
        with pytest.raises(kind, match=says) as caught:
            bench.create("Volume", raw["name"], raw)
        assert caught.value.path == (path,)
        said, asked = Lines(), Asked(partial(bench.key, "Volume", raw["name"]))
        bench.calls.preview_create("Volume", bench.inputs("Volume", raw), said.work(), asked)
        assert any(re.search(says, line) for line in said.warnings), said.warnings
    assert files(machine) == before
    theirs.delete()
    machine.drop(snapshot)


PLACES = [("Volume", place) for place in range(8)] + [("Template", place) for place in range(7)]


@pytest.mark.parametrize(("token", "place"), sample(PLACES, "copies of snapshots", share=0.2, least=3))
def test_a_copy_is_made_again_after_a_kill(
    make: Callable[..., Machine], bench: Bench, monkeypatch: pytest.MonkeyPatch, token: str, place: int
) -> None:
    monkeypatch.setattr(volume_record, "_ABANDONED_S", 0.1)
    monkeypatch.setattr(volume_claim, "_SETTLE_S", 0.01)
    machine = make("running", "raw")
    machine.write(1, 0)
    snapshot = machine.take("s1")
    before = files(machine)
    raw = volume(bench, machine, snapshot=snapshot.id, disk="data")
    spec = volume_spec(**raw)
    if token == "Template":
        spec = template_spec(name=raw["name"], pool=raw["pool"], source={"snapshot": snapshot.id, "disk": "data"})
    killed, again = Provider(), Provider()
    handlers = {"Volume": "volumes", "Template": "templates"}
    owner = key(token.lower(), "c")
    with spying(place) as spy, contextlib.suppress(Killed):
        getattr(killed, handlers[token]).create(Work(), owner, spec)
    assert spy.dead
    killed.exit()
    handler = getattr(again, handlers[token])
    made = handler.create(Work(), owner, spec)
    left = files(machine) - before
    assert len(left) == 2
    assert not any("jvp-copy" in name for name in left)
    handler.delete(Work(), made.id, made.state)
    again.exit()
    assert files(machine) == before
    machine.drop(snapshot)
