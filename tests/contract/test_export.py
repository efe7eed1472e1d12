"""Disks written into files of this machine: byte by byte what a guest sees, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract import test_snapshots
from tests.contract.conftest import Bag, Bench
from tests.contract.rest_support import server
from tests.contract.storage_support import MIB, Lines
from tests.contract.test_compact import fill

from jvp.core.errors import Busy, Cancelled, Rejected
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.images import outgoing
from jvp.libvirt.storage import layer_names
from jvp.resources.storage import exporting

make = test_snapshots.make


@pytest.fixture
def volume(bench: Bench) -> Iterator[Callable[..., Stored]]:
    made: list[Stored] = []

    def one(format: str) -> Stored:
        assert bench.pool is not None
        raw = {"name": bench.name(f"e{len(made)}"), "pool": bench.pool.id, "size": "24MiB", "format": format}
        made.append(bench.create("Volume", raw["name"], raw).stored)
        fill(made[-1].state["path"], format)
        return made[-1]

    yield one
    for stored in made:
        left = [path.name for path in Path(stored.state["path"]).parent.iterdir()]
        assert not [name for name in left if "export" in name or "copy" in name]
        bench.delete("Volume", stored)


def act(bench: Bench, stored: Stored, path: Path, work: Work | None = None, **args: Any) -> Bag:
    token = "Instance" if "powerState" in stored.state else "Snapshot" if "createdAt" in stored.state else "Volume"
    return bench.calls.act(f"export{token}", stored.id, {"path": str(path), **args}, work or Work())


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content(path: str | Path, format: str) -> bytes:
    out = f"{path}.whole"
    subprocess.run(["qemu-img", "convert", "-U", "-f", format, "-O", "raw", path, out], check=True)
    found = Path(out).read_bytes()
    Path(out).unlink()
    return found


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_a_volume_in_either_format(bench: Bench, volume: Any, tmp_path: Path, format: str) -> None:
    stored = volume(format)
    held = content(stored.state["path"], format)
    for wanted in (None, "raw", "qcow2"):
        out, said = tmp_path / str(wanted), Lines()
        told = act(bench, stored, out, said.work(), **({"format": wanted} if wanted else {}))
        kind = wanted or format
        assert told == {
            "imageFormat": kind, "sizeBytes": out.stat().st_size, "storedBytes": told["storedBytes"],
            "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        }  # fmt: skip
        assert content(out, kind) == held
        assert out.stat().st_mode & 0o777 == 0o600
        # Each second cluster of the last part and all of the middle are zeros: holes in the file.
        assert out.stat().st_blocks * 512 < 8 * MIB
    assert files(tmp_path) == ["None", "qcow2", "raw"]


def test_what_is_there_stays_unless_it_is_to_be_overwritten(
    bench: Bench, volume: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, out = volume("raw"), tmp_path / "out"
    out.write_bytes(b"mine")
    with pytest.raises(Rejected, match="is there already; have it overwritten, or give another path") as caught:
        act(bench, stored, out)
    assert caught.value.path == ("path",)
    assert out.read_bytes() == b"mine"
    out.write_bytes(bytes(24 * MIB))  # as long as the image: that shows only at the end
    with pytest.raises(Rejected, match="is there already"):
        act(bench, stored, out)
    assert not out.read_bytes().strip(b"\0")
    told = act(bench, stored, out, overwrite=True)
    assert act(bench, stored, out) == told  # a run of which nobody heard that it ended
    for path, why in ((tmp_path / "none" / "out", "there is no folder"), (tmp_path, "is there, and is no file")):
        with pytest.raises(Rejected, match=why):
            act(bench, stored, path)
    assert files(tmp_path) == ["out"]

    # Stopped, it leaves nothing; killed, what the next run writes over. Two at once: one is told so.
    left = tmp_path / ".out.jvp-export"
    left.write_bytes(b"x" * 100 * MIB)
    work = Work()
    step = outgoing._filled

    def stopped(*arguments: Any) -> Any:
        with pytest.raises(Busy, match="another run writes"):
            act(bench, stored, out, overwrite=True)
        work.cancelled.set()
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(outgoing, "_filled", stopped)
        with pytest.raises(Cancelled):
            act(bench, stored, out, work, overwrite=True)
    assert files(tmp_path) == ["out"]
    left.write_bytes(b"x" * 100)
    assert act(bench, stored, out, overwrite=True) == told
    assert files(tmp_path) == ["out"]


def test_an_instance_while_it_is_off_and_a_snapshot_at_any_time(
    make: Any, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = make("running", "raw")
    machine.write(1, 0)
    snapshot = machine.take("s1")
    machine.write(2, 1)
    for stored in (machine.stored, machine.volume):
        with pytest.raises(
            Rejected, match=rf"which runs; take a snapshot \(jvp snapshot create {machine.raw['name']}/"
        ):
            act(bench, stored, tmp_path / "none")
    act(bench, snapshot, tmp_path / "then", disk="data")
    first = bytes([1]) * test_snapshots.PIECE
    assert (tmp_path / "then").read_bytes() == first.ljust(test_snapshots.SIZE, b"\0")
    machine.domain.destroy()
    whole = first + bytes([2]) * test_snapshots.PIECE
    for disk in ("root", "data"):
        told = act(bench, machine.stored, tmp_path / disk, format="raw", disk=disk)
        assert told["imageFormat"] == "raw"
        assert (tmp_path / disk).read_bytes() == whole.ljust(test_snapshots.SIZE, b"\0")
    with pytest.raises(Rejected, match='has no disk "none" that it can write to; it has'):
        act(bench, machine.stored, tmp_path / "none", disk="none")

    # The snapshot goes while it is read: what was written since is merged into the file.
    with monkeypatch.context() as patch:
        patch.setattr(outgoing, "_filled", with_this_in_between(lambda: machine.drop(snapshot)))
        with pytest.raises(Busy, match="is deleted, or merged with another one"):
            act(bench, snapshot, tmp_path / "then", disk="data", overwrite=True)
    assert (tmp_path / "then").read_bytes() == first.ljust(test_snapshots.SIZE, b"\0")


def with_this_in_between(happens: Callable[[], None]) -> Callable[..., Any]:
    """The writing of a file, in which something happens after the first piece has come."""
    step = outgoing._filled

    def filled(work: Work, descriptor: int, pieces: Iterator[Any]) -> Any:
        def parted() -> Iterator[Any]:
            yield next(pieces)
            happens()
            yield from pieces

        return step(work, descriptor, parted())

    return filled


def test_what_was_written_to_meanwhile_replaces_nothing(
    bench: Bench, volume: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, out = volume("raw"), tmp_path / "out"

    def written() -> None:  # by a guest that started and stopped
        with Path(stored.state["path"]).open("r+b") as file:
            file.seek(20 * MIB)
            file.write(b"later")

    out.write_bytes(b"good")
    monkeypatch.setattr(outgoing, "_filled", with_this_in_between(written))
    with pytest.raises(Busy, match="was written to while it was read; run again"):
        act(bench, stored, out, overwrite=True)
    assert (out.read_bytes(), files(tmp_path)) == (b"good", ["out"])


def test_only_disks_are_taken_out(bench: Bench, volume: Any, tmp_path: Path) -> None:
    folder, pool = Path(volume("raw").state["path"]).parent, bench.pool
    assert pool is not None
    inside = [folder / f"jvp-{uuid.uuid4()}-{what}" for what in ("seed", "nvram", f"memory{'0' * 12}")]
    for path in inside:
        path.write_bytes(bytes(512))
    here = bench.connection.storagePoolLookupByUUIDString(pool.id)
    here.refresh()
    for path in inside:
        with pytest.raises(Rejected, match="is kept for an instance or a copy, and is no disk"):
            bench.calls.act("exportVolume", f"{pool.id}/{path.name}", {"path": str(tmp_path / "out")}, Work())
        raw = {"name": bench.name("seen"), "pool": pool.id, "volume": f"{pool.id}/{path.name}"}
        with pytest.raises(Rejected, match="and is no disk"):
            bench.create("Volume", raw["name"], raw)
        path.unlink()
    here.refresh()
    assert files(tmp_path) == []


def test_a_copy_that_was_cut_off_goes_with_the_next_one(
    bench: Bench, volume: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = volume("qcow2")
    held = content(stored.state["path"], "qcow2")

    def dies(*_: Any) -> Any:
        raise test_snapshots.Died

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_dropped", dies)
        patch.setattr(outgoing, "_filled", dies)
        with pytest.raises(test_snapshots.Died):
            act(bench, stored, tmp_path / "out", format="raw")
    pool = bench.connection.storagePoolLookupByUUIDString(stored.state["poolUuid"])
    assert [name for name in pool.listVolumes() if name.startswith("jvp-export-")]
    found, _ = bench.calls.invoke("getVolumes", {"name": "jvp-export-*"}, Work())
    assert found == {"volumes": []}
    # Or with what changes the disk, also where the daemon kept the layer over it when the run went.
    copy = next(name for name in pool.listVolumes() if name.startswith("jvp-export-"))
    layer = Path(stored.state["path"]).with_name(layer_names.over_copied(copy))
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", stored.state["path"], layer]
    subprocess.run(words, check=True)
    pool.refresh()
    with pytest.raises(Rejected, match=f"is the base of .*/{layer.name}"):  # it may have been made to be read
        bench.calls.act("compactVolume", stored.id, {}, Work())
    os.utime(layer, (0, time.time() - 90))
    bench.calls.act("compactVolume", stored.id, {}, Work())
    assert not [name for name in pool.listVolumes() if name in (copy, layer.name)]
    act(bench, stored, tmp_path / "out", format="raw")
    assert (tmp_path / "out").read_bytes() == held


def test_engines_export_when_a_trigger_changes(bench: Bench, volume: Any, tmp_path: Path) -> None:
    stored, out = volume("raw"), tmp_path / "out"
    raw = {"volume": stored.id, "path": str(out), "triggers": {"day": "1"}, "overwrite": True}
    made = bench.create("ExportVolume", "export", raw).stored
    assert made.state["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    out.unlink()
    assert bench.plan("ExportVolume", made, raw) == []
    made = bench.update("ExportVolume", made, raw | {"triggers": {"day": "2"}}).stored
    assert out.stat().st_size == 24 * MIB
    bench.delete("ExportVolume", made)
    assert out.exists()


def test_over_rest_as_a_download_and_by_command(bench: Bench, volume: Any, tmp_path: Path) -> None:
    stored, variables = volume("qcow2"), {**os.environ, "JVP_AUDIT": "off", "JVP_OUTPUT": "json"}
    held, name = content(stored.state["path"], "qcow2"), stored.state["name"]
    place = f"{stored.state['poolName']}/{name}"
    words = [Path(sys.executable).with_name("jvp"), "volume", "export", place, tmp_path / "cli", "--format", "raw"]
    ran = subprocess.run(words, env=variables, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)["sha256"] == hashlib.sha256(held).hexdigest()
    assert (tmp_path / "cli").read_bytes() == held
    with server(tmp_path) as rest:
        got = rest.ask("GET", f"volumes/{place}/content", params={"format": "raw"})
        assert (got.status_code, got.content) == (200, held)
        assert got.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}.raw"
        got = rest.ask("GET", f"volumes/{stored.id}/content")
        assert got.content == Path(stored.state["path"]).read_bytes()
        assert rest.ask("HEAD", f"volumes/{place}/content").headers["content-type"] == "application/octet-stream"
        other = Path(stored.state["path"]).with_name("content")  # a volume may be called so, too
        other.write_bytes(bytes(512))
        assert bench.pool is not None
        bench.connection.storagePoolLookupByUUIDString(bench.pool.id).refresh()
        assert rest.ask("GET", f"volumes/{stored.state['poolName']}/content").json()["path"] == str(other)
        other.unlink()
        for _ in range(3):  # a client that goes holds nothing
            with rest.client.stream("GET", f"/api/volumes/{place}/content") as left:
                next(left.iter_raw(1))
        assert rest.problem("GET", f"volumes/{place}-none/content")["status"] == 404
        assert rest.problem("POST", f"volumes/{place}/actions/export", {"path": "/etc/passwd"})["status"] == 404
        end = time.monotonic() + 60
        while (got := rest.ask("GET", f"volumes/{stored.id}/content")).status_code != 200:
            assert time.monotonic() < end, got.text
        assert got.content == Path(stored.state["path"]).read_bytes()
