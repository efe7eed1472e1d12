"""Volumes against a real daemon."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import libvirt
import pytest
from tests.contract.drift import VOLUME, Drift
from tests.contract.storage_support import MARKER, MIB, Provider, key, raw_image, spying, template_spec, volume_spec

from jvp.core.calls import Calls
from jvp.core.check import check
from jvp.core.errors import Busy, Cancelled, Invalid, JvpError, NameTaken, NotFound, Rejected
from jvp.core.work import Work
from jvp.libvirt.storage import copy_volume, lookup, volume_claim, volume_record
from jvp.resources.storage.volume import Volume

pytestmark = pytest.mark.usefixtures("leftovers")


def create(provider: Provider, address: str = "v", **bag: Any) -> Any:
    return provider.volumes.create(Work(), key("volume", address), volume_spec(**bag))


def drop(provider: Provider, made: Any) -> None:
    provider.volumes.delete(Work(), made.id, made.state)


@pytest.mark.parametrize("format", ["qcow2", "raw"])
def test_life(provider: Provider, daemon: Any, pool: str, folder: Path, format: str) -> None:
    made = create(provider, name="v", pool=pool, size="4MiB", format=format)
    info = _info(folder / "v")
    assert (info["format"], info["virtual-size"]) == (format, 4 * MIB)
    if format == "qcow2":
        assert info["format-specific"]["data"]["compat"] == "1.1"
    assert info["actual-size"] < MIB
    assert (made.state.size, made.state.size_bytes, made.state.path) == ("4MiB", 4 * MIB, str(folder / "v"))
    assert create(provider, name="v", pool=pool, size="4MiB", format=format).state == made.state
    for _ in range(2):
        assert provider.volumes.read(Work(), made.id, made.state) == made.state
    grown = provider.volumes.update(
        Work(), made.id, made.state, volume_spec(name="v", pool=pool, size="8MiB", format=format), ()
    )
    assert (grown.state.size, grown.state.size_bytes) == ("8MiB", 8 * MIB)
    assert _info(folder / "v")["virtual-size"] == 8 * MIB
    with pytest.raises(Invalid, match=r'has 8MiB and cannot shrink to 4MiB: .*; declare "8MiB"') as caught:
        provider.volumes.update(Work(), made.id, grown.state, volume_spec(name="v", pool=pool, size="4MiB"), ())
    assert caught.value.path == ("size",)
    drop(provider, made)
    drop(provider, made)
    assert provider.volumes.read(Work(), made.id, made.state) is None


def test_read_is_cheap(provider: Provider, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = create(provider, name="v", pool=pool, size="4MiB")
    provider.volumes.read(Work(), made.id, made.state)
    with spying() as spy:
        provider.volumes.read(Work(), made.id, made.state)
    with capsys.disabled():
        print(f"\nvolume read: {len(spy.names)} calls: {', '.join(spy.names)}")
    assert len(spy.names) <= 10
    assert "virStoragePoolRefresh" not in spy.names
    drop(provider, made)


def test_auto_name_follows_the_generation(provider: Provider, pool: str) -> None:
    first = create(provider, pool=pool, size="4MiB")
    provider.volumes.read(Work(), first.id, first.state)
    second = create(provider, pool=pool, size="4MiB")
    assert first.id != second.id
    drop(provider, first)
    drop(provider, second)


def test_program_changed_between_a_cut_create_and_the_next(provider: Provider, pool: str) -> None:
    create(provider, name="v", pool=pool, size="4MiB")
    made = create(provider, name="v", pool=pool, size="2MiB", format="raw")
    assert (made.state.size, made.state.format) == ("2MiB", "raw")
    drop(provider, made)


def test_acknowledged_volume_is_never_taken_up_again(provider: Provider, pool: str) -> None:
    made = create(provider, name="v", pool=pool, size="4MiB")
    provider.volumes.read(Work(), made.id, made.state)
    with pytest.raises(NameTaken, match="choose another name") as refused:
        create(provider, name="v", pool=pool, size="4MiB")
    assert refused.value.id == made.id
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    drop(provider, made)


@pytest.mark.parametrize("how", ["rm", "vol-delete", "rm both", "vol-delete both"])
def test_gone_by_every_way(provider: Provider, daemon: Any, pool: str, folder: Path, how: str) -> None:
    made = create(provider, name="v", pool=pool, size="4MiB")
    provider.volumes.read(Work(), made.id, made.state)
    for name in ("v", ".jvp-v.json") if "both" in how else ("v",):
        if how.startswith("rm"):
            (folder / name).unlink()
        else:
            daemon.storagePoolLookupByName(pool).storageVolLookupByName(name).delete(0)
    assert provider.volumes.read(Work(), made.id, made.state) is None
    with pytest.raises(NotFound):
        provider.volumes.update(Work(), made.id, made.state, volume_spec(name="v", pool=pool, size="8MiB"), ())
    second = create(provider, name="v", pool=pool, size="4MiB")
    assert second.state.nonce != made.state.nonce
    assert provider.volumes.read(Work(), second.id, made.state) is None
    drop(provider, made)
    assert provider.volumes.read(Work(), second.id, second.state) == second.state
    drop(provider, second)


def test_a_stopped_pool_tells_nothing_and_missing_and_unmounted_ones_are_errors(
    provider: Provider, daemon: Any, pool: str, folder: Path
) -> None:
    made = create(provider, name="v", pool=pool, size="4MiB")
    storage = daemon.storagePoolLookupByName(pool)
    storage.destroy()
    said: list[str] = []
    assert provider.volumes.read(Work(warn=said.append), made.id, made.state) == made.state
    assert said == [f'volume "v" is taken to be as it was: storage pool "{pool}" is not active']
    with pytest.raises(Rejected, match="is not active; start it"):
        provider.volumes.read(Work(), made.id, None)
    with pytest.raises(Rejected, match="is not active; start it"):
        provider.volumes.delete(Work(), made.id, made.state)
    storage.create()
    hidden = folder.rename(folder.with_name("hidden"))
    folder.mkdir()
    for call in (provider.volumes.read, provider.volumes.delete):
        with pytest.raises(Rejected, match="is not the one that it was"):
            call(Work(), made.id, made.state)
    folder.rmdir()
    with pytest.raises(Rejected, match="is not active any more: cannot open directory"):
        provider.volumes.delete(Work(), made.id, made.state)
    hidden.rename(folder)
    if not storage.isActive():
        storage.create()
    storage.refresh(0)
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    drop(provider, made)
    absent = f"00000000-0000-0000-0000-000000000000/{made.state.name}"
    with pytest.raises(Rejected, match="nothing can be said of it; apply the pool alone first, as the target"):
        provider.volumes.read(Work(), absent, made.state)


@pytest.mark.parametrize("drift", VOLUME, ids=lambda drift: drift.property)
def test_drift_is_seen(provider: Provider, daemon: Any, pool: str, drift: Drift) -> None:
    """A disk that somebody grew cannot shrink back: the plan says so, and the update refuses."""
    calls = Calls({"Volume": provider.volumes}, {})
    inputs = check(Volume, {"name": "v", "pool": pool, "size": "4MiB"}).inputs
    stored = calls.create("Volume", key("volume", "v"), inputs, Work()).stored
    drift.act(None, daemon.storageVolLookupByPath(stored.state["path"]))
    seen = calls.read("Volume", stored, Work())
    assert seen is not None
    assert {str(change.path[0]) for change in calls.diff("Volume", seen, inputs).changes} == drift.paths
    with pytest.raises(Invalid, match="cannot shrink"):
        calls.update("Volume", seen, inputs, Work())
    calls.delete("Volume", seen, Work())


@pytest.mark.parametrize("format", ["raw", "vmdk"])
def test_import_of_a_file_made_by_hand(provider: Provider, daemon: Any, pool: str, folder: Path, format: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", format, folder / "v", "5M"], check=True)
    daemon.storagePoolLookupByName(pool).refresh(0)
    calls = Calls({"Volume": provider.volumes}, {})
    if format == "vmdk":
        with pytest.raises(Rejected, match="only qcow2 and raw"):
            calls.import_("Volume", f"{pool}/v", Work())
    else:
        stored = calls.import_("Volume", f"{pool}/v", Work())
        assert stored is not None
        assert (stored.inputs["size"], stored.inputs["format"]) == ("5MiB", "raw")
        seen = calls.read("Volume", stored, Work())
        assert seen is not None
        for inputs in (
            stored.inputs,
            check(Volume, {"name": "v", "pool": pool, "size": "5MiB", "format": "raw"}).inputs,
        ):
            assert calls.diff("Volume", seen, inputs).changes == ()
        assert [path.name for path in folder.iterdir() if path.name != MARKER] == ["v"]
    (folder / "v").unlink()


def test_resize_behind_our_back_is_seen(provider: Provider, pool: str, folder: Path) -> None:
    made = create(provider, name="v", pool=pool, size="4MiB")
    subprocess.run(["qemu-img", "resize", "-q", folder / "v", "6M"], check=True)
    assert provider.volumes.read(Work(), made.id, made.state).size == "6MiB"
    drop(provider, made)


def test_foreign_volume_is_refused_and_untouched(provider: Provider, daemon: Any, pool: str, folder: Path) -> None:
    (folder / "v").write_bytes(b"precious")
    for _ in range(2):
        with pytest.raises(NameTaken):
            create(provider, name="v", pool=pool, size="4MiB")
        assert (folder / "v").read_bytes() == b"precious"
        assert not (folder / ".jvp-v.json").exists()
        daemon.storagePoolLookupByName(pool).refresh(0)
    (folder / "v").unlink()


def test_another_resource_holds_the_name(provider: Provider, pool: str) -> None:
    made = create(provider, "a", name="v", pool=pool, size="4MiB")
    with pytest.raises(NameTaken, match="another resource of jvp"):
        create(provider, "b", name="v", pool=pool, size="4MiB")
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    drop(provider, made)


def test_import_of_a_foreign_volume_previews_empty(provider: Provider, daemon: Any, pool: str, folder: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "v", "5M"], check=True)
    calls = Calls({"Volume": provider.volumes}, {})
    stored = calls.import_("Volume", f"{pool}/v", Work())
    assert stored is not None
    # What is like its default is not set: a program that leaves it out has nothing to do either.
    assert stored.inputs == {"name": "v", "pool": pool, "size": "5MiB"}
    assert calls.diff("Volume", stored, stored.inputs).changes == ()
    assert not (folder / ".jvp-v.json").exists()
    assert calls.import_("Volume", str(folder / "v"), Work()) == stored
    calls.delete("Volume", stored, Work())
    assert not (folder / "v").exists()


def test_an_imported_volume_whose_pool_went_before_it_is_left(
    provider: Provider, daemon: Any, pool: str, folder: Path
) -> None:
    """A program that an import wrote names the pool, so an engine deletes both at once."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "v", "5M"], check=True)
    ours = create(provider, name="ours", pool=pool, size="1MiB")
    calls = Calls({"Volume": provider.volumes}, {})
    stored = calls.import_("Volume", f"{pool}/v", Work())
    assert stored is not None
    found = daemon.storagePoolLookupByName(pool)
    xml = found.XMLDesc(0)
    found.destroy()
    found.undefine()
    try:
        lines: list[str] = []
        calls.delete("Volume", stored, Work(warn=lines.append))
        assert lines == [f"{folder}/v is left: it was imported, and its storage pool is not defined any more"]
        with pytest.raises(Rejected, match="apply the pool alone first"):
            drop(provider, ours)
    finally:
        daemon.storagePoolDefineXML(xml).create()
    drop(provider, ours)
    (folder / "v").unlink()


def test_lost_record_makes_deleting_an_error(provider: Provider, pool: str, folder: Path) -> None:
    made = create(provider, name="v", pool=pool, size="4MiB")
    (folder / ".jvp-v.json").unlink()
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    with pytest.raises(Rejected, match="has lost its record"):
        drop(provider, made)
    (folder / "v").unlink()
    drop(provider, made)


def test_two_runs_at_once_make_one(pool: str, folder: Path, provider: Provider) -> None:
    results: list[Any] = []

    def run() -> None:
        one = Provider()
        try:
            results.append(create(one, name="v", pool=pool, size="4MiB"))
        except JvpError as error:
            results.append(error)
        finally:
            one.exit()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one for one in results if not isinstance(one, JvpError)]
    assert all(isinstance(one, Busy | NameTaken) for one in results if isinstance(one, JvpError)), results
    last = create(provider, name="v", pool=pool, size="4MiB")
    drop(provider, last)


def test_a_run_that_took_the_name_over_has_it_though_the_other_makes_the_volume(
    provider: Provider, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lost the name was just about to, and then hears that it is lost: one of the two ends well."""
    make = lookup.create_volume
    begun, lost, done = threading.Event(), threading.Event(), threading.Event()

    def held(*arguments: Any, **named: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            lost.set()
            assert done.wait(60)
            return make(*arguments, **named)
        begun.set()
        assert lost.wait(60)
        try:
            return make(*arguments, **named)
        finally:
            done.set()

    monkeypatch.setattr(volume_claim, "_SETTLE_S", 0.0)
    monkeypatch.setattr(lookup, "create_volume", held)
    with ThreadPoolExecutor() as threads, contextlib.ExitStack() as ends:
        other = Provider()
        ends.callback(other.exit)
        first = threads.submit(create, other, name="v", pool=pool, size="4MiB")
        assert begun.wait(60)
        made = create(provider, name="v", pool=pool, size="4MiB")
        with pytest.raises(Busy, match="is being made by another run"):
            first.result(60)
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    drop(provider, made)


def test_a_record_that_is_in_use_for_a_moment_is_written_all_the_same(
    provider: Provider, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirtd says so now and then while another run is at the same name. Both would fail."""
    asked: Counter[str] = Counter()

    def busy(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            asked[name] += 1
            if asked[name] % 2:
                raise libvirt.libvirtError("volume '.jvp-v.json' is still in use.")
            return step(*arguments)

        return call

    monkeypatch.setattr(volume_record, "write_small", busy("write", volume_record.write_small))
    for step in ("resize", "delete"):
        monkeypatch.setattr(libvirt.virStorageVol, step, busy(step, getattr(libvirt.virStorageVol, step)))
    made = create(provider, name="v", pool=pool, size="4MiB")
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    assert asked == {"write": 2, "resize": 4}
    drop(provider, made)


def test_cancel_takes_back_a_copy(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_volume, "_STATUS_S", 0.0)
    image = raw_image(tmp_path / "image.raw", size=64 * MIB, data=32 * MIB)
    spec = template_spec(name="t", pool=pool, source={"path": str(image)})
    template = provider.templates.create(Work(), key("template", "t"), spec)
    work = Work()
    work.status = lambda line: work.cancelled.set() if "copying" in line else None
    with pytest.raises(Cancelled):
        provider.volumes.create(
            work, key("volume", "v"), volume_spec(name="v", pool=pool, template=f"{pool}/t", format="raw")
        )
    assert not (folder / "v").exists()
    assert not (folder / ".jvp-v.json").exists()
    provider.templates.delete(Work(), template.id, template.state)


def test_cancelled_conversion_is_done_again(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert, heard = libvirt.virStoragePool.createXMLFrom, threading.Event()

    def held(*arguments: Any) -> Any:
        """It has no answer before its caller has heard of the cancel, however quick the node is."""
        try:
            return convert(*arguments)
        finally:
            heard.wait(60)

    monkeypatch.setattr(libvirt.virStoragePool, "createXMLFrom", held)
    image = raw_image(tmp_path / "image.raw", size=256 * MIB, data=128 * MIB)
    spec = template_spec(name="t", pool=pool, source={"path": str(image)})
    template = provider.templates.create(Work(), key("template", "t"), spec)
    work = Work()
    work.status = lambda line: work.cancelled.set() if "converting" in line else None
    bag = {"name": "v", "pool": pool, "template": f"{pool}/t", "fullClone": True}
    with pytest.raises(Cancelled):
        provider.volumes.create(work, key("volume", "v"), volume_spec(**bag))
    heard.set()
    made = create(provider, **bag)
    compare = ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", image, folder / "v"]
    assert subprocess.run(compare, capture_output=True).returncode == 0
    drop(provider, made)
    provider.templates.delete(Work(), template.id, template.state)


@pytest.mark.parametrize("name", ["a b", "../x", "x/y", "-x", "<x>", "", "x" * 101, ".jvp-x.json", "x@y"])
def test_hostile_names_never_reach_the_host(name: str) -> None:
    with pytest.raises(AssertionError, match="Failure"):
        volume_spec(name=name, pool="p", size="1MiB")


def _info(path: Path) -> Any:
    import json

    return json.loads(
        subprocess.run(["qemu-img", "info", "-U", "--output=json", path], check=True, capture_output=True).stdout
    )
