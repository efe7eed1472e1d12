"""Storage pools against a real daemon."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import libvirt
import pytest
from tests.contract.drift import POOL, Drift
from tests.contract.storage_support import MARKER, Lines, Provider, key, pool_spec, volume_spec

from jvp.core.calls import Calls
from jvp.core.check import check
from jvp.core.errors import JvpError, NameTaken, NotFound, Rejected
from jvp.core.work import Work
from jvp.libvirt.link.xml import drop, parse, put, same_xml, text_of
from jvp.libvirt.storage import folders, pool_mark
from jvp.libvirt.storage.pool_mark import inactive_xml, mark_of
from jvp.resources.storage.pool import StoragePool, StoragePools

pytestmark = pytest.mark.usefixtures("leftovers")


def create(provider: Provider, address: str = "p", **bag: Any) -> Any:
    return provider.pools.create(Work(), key("storage pool", address), pool_spec(**bag))


def steady(state: Any) -> Any:
    """A state without what the rest of the machine changes."""
    return state.model_copy(update={"allocation_bytes": None, "available_bytes": None})


def foreign(daemon: Any, name: str, folder: Path) -> Any:
    """A pool as an administrator makes one."""
    folder.mkdir()
    pool = daemon.storagePoolDefineXML(
        f"<pool type='dir'><name>{name}</name><target><path>{folder}</path></target></pool>"
    )
    pool.create()
    return pool


@contextlib.contextmanager
def rival() -> Iterator[Provider]:
    """Another process, as far as storage goes."""
    found = Provider()
    try:
        yield found
    finally:
        found.exit()


def test_life(provider: Provider, daemon: Any, prefix: str, folder: Path) -> None:
    made = create(provider, name=f"{prefix}p", path=str(folder))
    assert made.state.state == "running"
    assert made.state.type == "dir"
    assert made.state.capacity_bytes > 0
    assert made.state.uuid == made.id
    assert {path.name for path in folder.iterdir()} == {MARKER}
    assert steady(create(provider, name=f"{prefix}p", path=str(folder)).state) == steady(made.state)
    for _ in range(2):
        assert steady(provider.pools.read(Work(), made.id, made.state)) == steady(made.state)
    assert provider.pools.find(Work(), f"{prefix}p") == made.id
    assert made.id in {one.id for one in provider.pools.list(Work())}
    spec = pool_spec(name=f"{prefix}p", path=str(folder), autostart=False, active=False)
    changed = provider.pools.update(Work(), made.id, made.state, spec, ())
    assert (changed.state.autostart, changed.state.active, changed.state.state) == (False, False, "inactive")
    assert changed.state.capacity_bytes is None
    assert provider.pools.read(Work(), made.id, changed.state) == changed.state
    provider.pools.delete(Work(), made.id, changed.state)
    provider.pools.delete(Work(), made.id, changed.state)
    assert provider.pools.read(Work(), made.id, changed.state) is None
    assert not folder.exists()


def test_folders_above_a_pools_own_are_made_and_stay(provider: Provider, prefix: str, folder: Path) -> None:
    """libvirt removes the folder of a pool, and no other."""
    made = create(provider, name=f"{prefix}p", path=str(folder / "a" / "b"))
    provider.pools.delete(Work(), made.id, made.state)
    assert [path.name for path in folder.rglob("*")] == ["a"]
    shutil.rmtree(folder)


def test_made_acknowledged_once(provider: Provider, daemon: Any, prefix: str, folder: Path) -> None:
    """What an engine's state has is never taken up again: a second create takes the next generation."""
    made = create(provider, path=str(folder))
    pool = daemon.storagePoolLookupByUUIDString(made.id)
    assert mark_of(inactive_xml(pool)).mark.acknowledged is False
    provider.pools.read(Work(), made.id, made.state)
    assert mark_of(inactive_xml(pool)).mark.acknowledged is True
    second = create(provider, path=f"{folder}2")
    assert second.id != made.id
    assert second.state.name != made.state.name
    for one in (made, second):
        provider.pools.delete(Work(), one.id, one.state)


def test_program_changed_between_a_cut_create_and_the_next(provider: Provider, prefix: str, folder: Path) -> None:
    create(provider, name=f"{prefix}p", path=str(folder))
    made = create(provider, name=f"{prefix}p", path=f"{folder}2")
    assert not folder.exists()
    assert made.state.path == f"{folder}2"
    provider.pools.delete(Work(), made.id, made.state)


def test_a_rival_that_comes_to_its_end_while_the_folder_is_made(
    provider: Provider, prefix: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool runs already when the one who made its folder wants to start it: that is as good."""
    build, built, done = libvirt.virStoragePool.build, threading.Event(), threading.Event()

    def held(*arguments: Any) -> Any:
        made = build(*arguments)
        built.set()
        assert done.wait(60)
        return made

    monkeypatch.setattr(libvirt.virStoragePool, "build", held)
    with rival() as other, ThreadPoolExecutor() as threads:
        first = threads.submit(create, other, name=f"{prefix}p", path=str(folder))
        assert built.wait(60)
        second = create(provider, name=f"{prefix}p", path=str(folder))
        done.set()
        assert first.result(60).id == second.id
    assert steady(provider.pools.read(Work(), second.id, second.state)) == steady(second.state)
    provider.pools.delete(Work(), second.id, second.state)
    assert not folder.exists()


def test_a_rival_that_comes_late_leaves_the_mark_of_who_made_the_folder(
    provider: Provider, prefix: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, looked, done = StoragePools._refuse_taken, threading.Event(), threading.Event()

    def held(*arguments: Any) -> None:
        look(*arguments)
        if threading.current_thread() is not threading.main_thread():
            looked.set()
            assert done.wait(60)

    monkeypatch.setattr(StoragePools, "_refuse_taken", held)
    with rival() as other, ThreadPoolExecutor() as threads:
        late = threads.submit(create, other, name=f"{prefix}p", path=str(folder))
        assert looked.wait(60)
        made = create(provider, name=f"{prefix}p", path=str(folder))
        done.set()
        assert late.result(60).id == made.id
    provider.pools.delete(Work(), made.id, made.state)
    assert not folder.exists()


def test_folder_stays_with_what_is_in_it(provider: Provider, prefix: str, folder: Path) -> None:
    made = create(provider, name=f"{prefix}p", path=str(folder))
    (folder / "precious.img").write_bytes(b"x")
    lines = Lines()
    provider.pools.delete(lines.work(), made.id, made.state)
    assert (folder / "precious.img").read_bytes() == b"x"
    assert {path.name for path in folder.iterdir()} == {"precious.img"}
    assert "precious.img" in lines.warnings[0]
    shutil.rmtree(folder)


@pytest.mark.parametrize("stopped", [False, True])
def test_folder_that_was_there_stays(provider: Provider, daemon: Any, prefix: str, folder: Path, stopped: bool) -> None:
    folder.mkdir()
    made = create(provider, name=f"{prefix}p", path=str(folder))
    if stopped:
        daemon.storagePoolLookupByUUIDString(made.id).destroy()
    provider.pools.delete(Work(), made.id, made.state)
    assert list(folder.iterdir()) == []
    folder.rmdir()


def test_stopped_pool_of_ours_takes_its_folder_along(
    provider: Provider, daemon: Any, prefix: str, folder: Path
) -> None:
    made = create(provider, name=f"{prefix}p", path=str(folder))
    daemon.storagePoolLookupByUUIDString(made.id).destroy()
    seen = provider.pools.read(Work(), made.id, made.state)
    assert (seen.active, seen.state) == (False, "inactive")
    provider.pools.delete(Work(), made.id, seen)
    assert not folder.exists()


def test_stopped_pool_is_started_by_an_update(provider: Provider, daemon: Any, prefix: str, folder: Path) -> None:
    made = create(provider, name=f"{prefix}p", path=str(folder))
    daemon.storagePoolLookupByUUIDString(made.id).destroy()
    spec = pool_spec(name=f"{prefix}p", path=str(folder))
    assert steady(provider.pools.update(Work(), made.id, made.state, spec, ()).state) == steady(made.state)
    provider.pools.delete(Work(), made.id, made.state)


def test_folder_removed_behind_our_back(provider: Provider, prefix: str, folder: Path) -> None:
    made = create(provider, name=f"{prefix}p", path=str(folder))
    shutil.rmtree(folder)
    provider.pools.delete(Work(), made.id, made.state)
    assert provider.pools.read(Work(), made.id, made.state) is None


def test_a_lost_folder_is_not_made_anew_unasked(provider: Provider, daemon: Any, prefix: str, folder: Path) -> None:
    """It may be on a file system that is not mounted: the message says both ways on, and each of them works."""
    name = f"{prefix}p"
    made = create(provider, name=name, path=str(folder))
    volume = provider.volumes.create(Work(), key("volume", "v"), volume_spec(name="v", pool=made.id, size="1MiB"))
    hidden = folder.rename(folder.with_name("hidden"))
    lines = Lines()
    # The first that looks finds the folder gone, and the pool is stopped by that: no error, for an engine reads all.
    assert provider.volumes.read(lines.work(), volume.id, volume.state) == volume.state
    assert f'"{name}" is not active any more: cannot open directory' in lines.warnings[0]
    assert provider.pools.read(Work(), made.id, made.state).active is False
    spec = pool_spec(name=name, path=str(folder))
    with pytest.raises(Rejected, match=f'the folder "{folder}" of the storage pool "{name}" is not there; mount') as no:
        provider.pools.update(Work(), made.id, made.state, spec, ())
    assert no.value.path == ("path",)
    hidden.rename(folder)
    assert provider.pools.update(Work(), made.id, made.state, spec, ()).state.active is True
    provider.volumes.delete(Work(), volume.id, volume.state)
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(Rejected, match=f'is not the one that it was.*"virsh pool-undefine {name}"'):
        provider.volumes.delete(Work(), volume.id, volume.state)
    pool = daemon.storagePoolLookupByUUIDString(made.id)
    pool.destroy()
    pool.undefine()
    again = create(provider, name=name, path=str(folder))
    assert provider.volumes.read(Work(), volume.id, volume.state) is None
    provider.pools.delete(Work(), again.id, again.state)
    folder.rmdir()


def test_what_others_write_is_told_only_when_it_is_much(provider: Provider, prefix: str, folder: Path) -> None:
    made = create(provider, name=f"{prefix}p", path=str(folder))
    capacity = made.state.capacity_bytes
    for moved, told in ((capacity // 200, False), (capacity // 50, True)):
        before = made.state.model_copy(update={"available_bytes": made.state.available_bytes + moved})
        seen = provider.pools.read(Work(), made.id, before)
        assert (seen.available_bytes != before.available_bytes) == told
    provider.pools.delete(Work(), made.id, made.state)


def test_undefined_behind_our_back_is_gone(provider: Provider, daemon: Any, prefix: str, folder: Path) -> None:
    made = create(provider, name=f"{prefix}p", path=str(folder))
    pool = daemon.storagePoolLookupByUUIDString(made.id)
    pool.destroy()
    pool.undefine()
    assert provider.pools.read(Work(), made.id, made.state) is None
    spec = pool_spec(name=f"{prefix}p", path=str(folder))
    with pytest.raises(NotFound):
        provider.pools.update(Work(), made.id, made.state, spec, ())
    shutil.rmtree(folder)


def test_taken_name_and_taken_folder(provider: Provider, daemon: Any, prefix: str, folder: Path) -> None:
    other = foreign(daemon, f"{prefix}f", folder)
    before = other.XMLDesc(0)
    with pytest.raises(NameTaken, match=other.UUIDString()) as caught:
        create(provider, name=f"{prefix}f", path=f"{folder}2")
    assert caught.value.path == ("name",)
    with pytest.raises(NameTaken, match=other.UUIDString()) as caught:
        create(provider, name=f"{prefix}p", path=f"{folder}/")
    assert caught.value.path == ("path",)
    assert "which this resource did not make; choose another folder" in caught.value.message
    assert other.XMLDesc(0) == before
    other.destroy()
    other.undefine()
    folder.rmdir()


def test_a_folder_of_another_pool_of_jvp_is_told_so(provider: Provider, prefix: str, folder: Path) -> None:
    """A door then advises an import, which would make two owners of one pool, last of all."""
    made = create(provider, name=f"{prefix}p", path=str(folder))
    with pytest.raises(NameTaken, match=r"which another resource of jvp made .*; choose another folder") as caught:
        create(provider, "other", name=f"{prefix}q", path=str(folder))
    assert caught.value.holder is not None
    provider.pools.delete(Work(), made.id, made.state)


@pytest.mark.parametrize("way", ["symbolic link", "bind mount", "above", "slashes"])
@pytest.mark.parametrize("whose", ["foreign", "ours"])
def test_a_folder_by_another_way_is_told_so(
    provider: Provider, daemon: Any, prefix: str, folder: Path, way: str, whose: str
) -> None:
    with contextlib.ExitStack() as undo:
        if whose == "ours":
            made = create(provider, "other", name=f"{prefix}f", path=str(folder))
            undo.callback(provider.pools.delete, Work(), made.id, made.state)
        else:
            other = foreign(daemon, f"{prefix}f", folder)
            undo.callback(folder.rmdir)
            undo.callback(other.undefine)
            undo.callback(other.destroy)
        path = undo.enter_context(by_another_way(folder, way))
        before = {one.name for one in folder.iterdir()}
        with pytest.raises(NameTaken, match=f'is the folder of the storage pool "{prefix}f"') as caught:
            create(provider, name=f"{prefix}p", path=path, deleteData=True)
        assert caught.value.path == ("path",)
        assert {one.name for one in folder.iterdir()} == before
        assert f"{prefix}p" not in {one.name() for one in daemon.listAllStoragePools(0)}


@contextlib.contextmanager
def by_another_way(folder: Path, way: str) -> Iterator[str]:
    other = folder.with_name("way")
    if way == "slashes":
        yield f"/{folder.parent}//{folder.name}//"
    elif way == "bind mount":
        other.mkdir()
        if (done := subprocess.run(["mount", "--bind", folder, other], capture_output=True, text=True)).returncode:
            other.rmdir()
            pytest.skip(f"no bind mounts here: {done.stderr}")
        try:
            yield str(other)
        finally:
            subprocess.run(["umount", "--lazy", other], check=True)
            other.rmdir()
    else:
        other.symlink_to(folder if way == "symbolic link" else folder.parent)
        try:
            yield str(other) if way == "symbolic link" else f"{other}/{folder.name}"
        finally:
            other.unlink()


def test_two_pools_over_one_folder_of_a_node_that_is_not_here(
    provider: Provider, daemon: Any, prefix: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another node no path can be resolved; the marker in the folder tells."""
    monkeypatch.setattr(provider.pools.node, "is_here", False)
    made = create(provider, "other", name=f"{prefix}f", path=str(folder))
    provider.volumes.create(Work(), key("volume", "v"), volume_spec(name="v", pool=f"{prefix}f", size="4MiB"))
    with by_another_way(folder, "symbolic link") as path:
        inside = sorted(one.name for one in folder.iterdir())
        with pytest.raises(NameTaken, match=f'leads to the folder of the storage pool "{prefix}f"') as caught:
            create(provider, name=f"{prefix}p", path=path, deleteData=True)
        assert (caught.value.path, caught.value.id) == (("path",), made.id)
        assert sorted(one.name for one in folder.iterdir()) == inside
    assert f"{prefix}p" not in {one.name() for one in daemon.listAllStoragePools(0)}
    provider.pools.delete(Work(), made.id, made.state.model_copy(update={"delete_data": True}))
    assert not folder.exists()


@pytest.mark.parametrize("here", [True, False])
def test_data_of_another_pool_over_the_same_folder_stays(
    provider: Provider, daemon: Any, prefix: str, folder: Path, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    """Two that an older version has let be."""
    monkeypatch.setattr(provider.pools.node, "is_here", here)
    first = create(provider, "first", name=f"{prefix}f", path=str(folder))
    provider.volumes.create(Work(), key("volume", "v"), volume_spec(name="v", pool=f"{prefix}f", size="4MiB"))
    with by_another_way(folder, "symbolic link") as path:
        with monkeypatch.context() as older:
            older.setattr(folders, "is_same", lambda node, one, other: False)
            older.setattr(provider.pools.api, "_by_marker", lambda pool, there: None)
            older.setattr(pool_mark, "take_marker", lambda pool, mark: None)
            second = create(provider, "second", name=f"{prefix}p", path=path, deleteData=True)
        inside = sorted(one.name for one in folder.iterdir())
        lines = Lines()
        provider.pools.delete(lines.work(), second.id, second.state)
        assert (
            f'stays with all that is in it: it is the folder of the storage pool "{prefix}f" too' in lines.warnings[0]
        )
        assert sorted(one.name for one in folder.iterdir()) == inside
        assert provider.pools.read(Work(), second.id, second.state) is None
    provider.pools.delete(Work(), first.id, first.state.model_copy(update={"delete_data": True}))
    assert not folder.exists()


def test_a_pool_in_the_folder_of_another_keeps_its_data(provider: Provider, prefix: str, folder: Path) -> None:
    outer = create(provider, "outer", name=f"{prefix}o", path=str(folder), deleteData=True)
    inner = create(provider, "inner", name=f"{prefix}i", path=f"{folder}/inner")
    provider.volumes.create(Work(), key("volume", "v"), volume_spec(name="v", pool=f"{prefix}i", size="4MiB"))
    lines = Lines()
    provider.pools.delete(lines.work(), outer.id, outer.state)
    assert "stays: it holds inner" in lines.warnings[0]
    assert {one.name for one in (folder / "inner").iterdir()} == {"v", ".jvp-v.json", MARKER}
    provider.pools.delete(Work(), inner.id, inner.state.model_copy(update={"delete_data": True}))
    assert not any(folder.iterdir())
    folder.rmdir()


def test_what_a_lost_pool_left_is_taken_over(provider: Provider, daemon: Any, prefix: str, folder: Path) -> None:
    lost = daemon.storagePoolLookupByUUIDString(create(provider, "lost", name=f"{prefix}l", path=str(folder)).id)
    lost.destroy()
    lost.undefine()
    made = create(provider, name=f"{prefix}p", path=str(folder), deleteData=True)
    provider.volumes.create(Work(), key("volume", "v"), volume_spec(name="v", pool=f"{prefix}p", size="4MiB"))
    provider.pools.delete(Work(), made.id, made.state)
    assert not any(folder.iterdir())
    folder.rmdir()


def test_a_pool_of_another_name_over_the_folder_is_not_adopted(
    provider: Provider, daemon: Any, prefix: str, folder: Path
) -> None:
    other = foreign(daemon, f"{prefix}f", folder)
    calls = Calls({"StoragePool": provider.pools}, {})
    inputs = calls.check("StoragePool", {"name": f"{prefix}p", "path": str(folder)}).inputs
    with pytest.raises(NameTaken, match=f'is the folder of the storage pool "{prefix}f"'):
        calls.create("StoragePool", key("StoragePool", "adopter"), inputs, Work(), adopt=True)
    other.destroy()
    other.undefine()
    folder.rmdir()


def test_a_system_folder_is_imported_and_never_made(
    provider: Provider, daemon: Any, prefix: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_ITSELF", (str(folder),))
    calls = Calls({"StoragePool": provider.pools}, {})
    inputs = calls.check("StoragePool", {"name": f"{prefix}f", "path": str(folder)}).inputs
    with pytest.raises(Rejected, match="whose files would be volumes of the pool; take a folder of its own on a disk"):
        calls.preview_create("StoragePool", inputs, Work())
    with pytest.raises(Rejected, match="is a folder of the system") as caught:
        create(provider, name=f"{prefix}f", path=str(folder))
    assert (caught.value.path, folder.exists()) == (("path",), False)
    other = foreign(daemon, f"{prefix}f", folder)
    assert calls.preview_create("StoragePool", inputs, Work())["path"] == str(folder)
    adopted = calls.create("StoragePool", key("StoragePool", "adopted"), inputs, Work(), adopt=True)
    assert adopted.stored.id == other.UUIDString()
    calls.delete("StoragePool", adopted.stored, Work())
    folder.rmdir()


def test_import_of_a_foreign_pool_writes_nothing_and_leaves_its_folder(
    provider: Provider, daemon: Any, prefix: str, folder: Path
) -> None:
    other = foreign(daemon, f"{prefix}f", folder)
    (folder / "a").write_bytes(b"x")
    before = other.XMLDesc(0)
    object_id = provider.pools.find(Work(), f"{prefix}f")
    state = provider.pools.read(Work(), object_id, None)
    assert (state.name, state.path, state.autostart) == (f"{prefix}f", str(folder), False)
    assert other.XMLDesc(0) == before
    assert provider.pools.read(Work(), object_id, state) == state
    provider.pools.delete(Work(), object_id, state)
    assert (folder / "a").exists()
    shutil.rmtree(folder)


@pytest.mark.parametrize("path", ["/etc/passwd", "/dev/null", "FILE", "FILE/deep"])
def test_folder_that_cannot_be_leaves_nothing(
    provider: Provider, daemon: Any, prefix: str, run_folder: Path, path: str
) -> None:
    file = run_folder / "file"
    file.touch()
    with pytest.raises(Rejected) as caught:
        create(provider, name=f"{prefix}p", path=path.replace("FILE", str(file)))
    file.unlink()
    assert caught.value.path == ("path",)


@pytest.mark.parametrize("name", ["a b", "../x", "x/y", "-x", "<x>", "", "x" * 101, "ü", "x\n", ".hidden"])
def test_hostile_names_never_reach_the_host(name: str) -> None:
    with pytest.raises(AssertionError, match="Failure"):
        pool_spec(name=name, path="/x")


def test_nothing_is_named_that_does_not_exist(provider: Provider) -> None:
    with pytest.raises(NotFound, match="there is no storage pool"):
        provider.pools.find(Work(), "nope")
    with pytest.raises(JvpError):
        provider.pools.find(Work(), "00000000-0000-0000-0000-000000000000")


@pytest.mark.parametrize("drift", POOL, ids=lambda drift: drift.property)
def test_drift_is_seen_and_mended(provider: Provider, daemon: Any, prefix: str, folder: Path, drift: Drift) -> None:
    calls = Calls({"StoragePool": provider.pools}, {})
    inputs = check(StoragePool, {"name": f"{prefix}p", "path": str(folder)}).inputs
    stored = calls.create("StoragePool", key("storage pool", "p"), inputs, Work()).stored
    drift.act(None, daemon.storagePoolLookupByUUIDString(stored.id))
    seen = calls.read("StoragePool", stored, Work())
    assert seen is not None
    assert {str(change.path[0]) for change in calls.diff("StoragePool", seen, inputs).changes} == drift.paths
    mended = calls.update("StoragePool", seen, inputs, Work()).stored
    assert calls.diff("StoragePool", mended, inputs).changes == ()
    calls.delete("StoragePool", mended, Work())


@pytest.mark.parametrize("active", [False, True])
def test_import_of_a_pool_made_by_hand_previews_empty(
    provider: Provider, daemon: Any, prefix: str, folder: Path, active: bool
) -> None:
    other = foreign(daemon, f"{prefix}f", folder)
    if not active:
        other.destroy()
    before = other.XMLDesc(1)
    calls = Calls({"StoragePool": provider.pools}, {})
    stored = calls.import_("StoragePool", f"{prefix}f", Work())
    assert stored is not None
    for inputs in (stored.inputs, check(StoragePool, {"name": f"{prefix}f"}).inputs):
        assert calls.diff("StoragePool", stored, inputs).changes == ()
    assert other.XMLDesc(1) == before
    seen = calls.read("StoragePool", stored, Work())
    assert seen is not None
    assert calls.diff("StoragePool", seen, stored.inputs).changes == ()
    # Only what is declared changes.
    root = parse(before)
    update = calls.update("StoragePool", seen, {**stored.inputs, "deleteData": True}, Work()).stored
    assert (update.state["autostart"], update.state["active"]) == (False, active)
    for one in (root, after := parse(other.XMLDesc(1))):
        for tag in ("capacity", "allocation", "available"):
            drop(one, tag)
    assert same_xml(root, after)
    calls.delete("StoragePool", update, Work())
    folder.rmdir()


def test_deleted_with_its_data_nothing_is_left_but_what_is_not_ours(
    provider: Provider, daemon: Any, prefix: str, folder: Path
) -> None:
    made = create(provider, name=f"{prefix}p", path=str(folder), deleteData=True)
    assert made.state.delete_data is True
    volume = volume_spec(name="v", pool=f"{prefix}p", size="4MiB")
    provider.volumes.create(Work(), key("volume", "v"), volume)
    (folder / "by-hand.img").write_bytes(b"x")
    (folder / "sub").mkdir()
    (folder / "sub" / "precious").write_bytes(b"x")
    lines = Lines()
    provider.pools.delete(lines.work(), made.id, made.state)
    assert {path.name for path in folder.iterdir()} == {"by-hand.img", "sub"}
    assert (folder / "sub" / "precious").exists()
    assert "stays: it holds by-hand.img, sub" in lines.warnings[0]
    assert provider.pools.read(Work(), made.id, made.state) is None
    shutil.rmtree(folder)


@pytest.mark.parametrize("stopped", [False, True])
def test_deleted_with_its_data_the_folder_goes_too(
    provider: Provider, daemon: Any, prefix: str, folder: Path, stopped: bool
) -> None:
    made = create(provider, name=f"{prefix}p", path=str(folder), deleteData=True)
    provider.volumes.create(Work(), key("volume", "v"), volume_spec(name="v", pool=f"{prefix}p", size="4MiB"))
    if stopped:
        daemon.storagePoolLookupByUUIDString(made.id).destroy()
    provider.pools.delete(Work(), made.id, made.state)
    assert not folder.exists()


def test_data_of_others_stays_in_a_folder_that_was_there(
    provider: Provider, daemon: Any, prefix: str, folder: Path
) -> None:
    other = foreign(daemon, f"{prefix}f", folder)
    (folder / "precious").write_bytes(b"x")
    other.refresh(0)
    state = provider.pools.read(Work(), other.UUIDString(), None)
    volume = volume_spec(name="v", pool=f"{prefix}f", size="4MiB")
    provider.volumes.create(Work(), key("volume", "v"), volume)
    spec = pool_spec(name=f"{prefix}f", path=str(folder), autostart=False, deleteData=True)
    told = provider.pools.update(Work(), other.UUIDString(), state, spec, ()).state
    assert told.delete_data is True
    provider.pools.delete(Work(), other.UUIDString(), told)
    assert {path.name for path in folder.iterdir()} == {"precious"}
    shutil.rmtree(folder)


def test_data_that_a_domain_uses_is_not_deleted(provider: Provider, daemon: Any, prefix: str, folder: Path) -> None:
    made = create(provider, name=f"{prefix}p", path=str(folder), deleteData=True)
    volume = volume_spec(name="v", pool=f"{prefix}p", size="4MiB")
    disk = provider.volumes.create(Work(), key("volume", "v"), volume).state.path
    root = parse(
        "<domain type='qemu'><memory unit='MiB'>32</memory><os><type>hvm</type></os><devices>"
        "<disk type='file' device='disk'><source/><target dev='vda' bus='virtio'/></disk></devices></domain>"
    )
    put(root, "name", f"{prefix}user")
    put(root, "devices/disk/source/@file", disk)
    domain = daemon.defineXML(text_of(root))
    try:
        with pytest.raises(Rejected, match=f'"v" by domain "{prefix}user"'):
            provider.pools.delete(Work(), made.id, made.state)
        assert provider.pools.read(Work(), made.id, made.state).active
        assert Path(disk).exists()
    finally:
        domain.undefine()
    provider.pools.delete(Work(), made.id, made.state)
    assert not folder.exists()


def test_data_is_not_deleted_in_a_folder_that_is_another(provider: Provider, prefix: str, folder: Path) -> None:
    """The filesystem is not mounted, and what lies below is somebody else's."""
    made = create(provider, name=f"{prefix}p", path=str(folder), deleteData=True)
    hidden = folder.rename(folder.with_name("hidden"))
    folder.mkdir()
    (folder / "precious").write_bytes(b"x")
    provider.pools.delete(Work(), made.id, made.state)
    assert (folder / "precious").exists()
    shutil.rmtree(folder)
    shutil.rmtree(hidden)


def test_every_read_looks_at_the_folder(provider: Provider, daemon: Any, prefix: str, folder: Path) -> None:
    made = create(provider, name=f"{prefix}p", path=str(folder))
    provider.pools.read(Work(), made.id, made.state)
    pool = daemon.storagePoolLookupByUUIDString(made.id)
    (folder / "by-hand.img").write_bytes(b"x")
    seen = provider.pools.read(Work(), made.id, made.state)
    assert "by-hand.img" in pool.listVolumes()
    assert 0 < seen.available_bytes < seen.capacity_bytes
    assert seen.allocation_bytes > 0
    hidden = folder.rename(folder.with_name("hidden"))
    assert provider.pools.read(Work(), made.id, made.state).active is False
    hidden.rename(folder)
    provider.pools.delete(Work(), made.id, made.state)
    shutil.rmtree(folder)
