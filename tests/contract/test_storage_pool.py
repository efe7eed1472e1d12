"""Storage pools against a real daemon."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from storage_support import MARKER, Lines, Provider, key, pool_spec

from jvp.core.errors import JvpError, NameTaken, NotFound, Rejected
from jvp.core.work import Work
from jvp.libvirt.poolmarks import inactive_xml, mark_of

pytestmark = pytest.mark.usefixtures("leftovers")


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.exit()


@pytest.fixture
def folder(run_folder: Path) -> Path:
    return run_folder / "pool"


def create(provider: Provider, address: str = "p", **bag: Any) -> Any:
    return provider.pools.create(Work(), key("storage pool", address), pool_spec(**bag))


def foreign(daemon: Any, name: str, folder: Path) -> Any:
    """A pool as an administrator makes one."""
    folder.mkdir()
    pool = daemon.storagePoolDefineXML(
        f"<pool type='dir'><name>{name}</name><target><path>{folder}</path></target></pool>"
    )
    pool.create()
    return pool


def test_life(provider: Provider, daemon: Any, prefix: str, folder: Path) -> None:
    made = create(provider, name=f"{prefix}p", path=str(folder))
    assert made.state.state == "running"
    assert made.state.type == "dir"
    assert made.state.capacity_bytes > 0
    assert made.state.uuid == made.id
    assert {path.name for path in folder.iterdir()} == {MARKER}
    assert create(provider, name=f"{prefix}p", path=str(folder)).state == made.state
    for _ in range(2):
        assert provider.pools.read(Work(), made.id, made.state) == made.state
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
    assert provider.pools.update(Work(), made.id, made.state, spec, ()).state == made.state
    provider.pools.delete(Work(), made.id, made.state)


def test_folder_removed_behind_our_back(provider: Provider, prefix: str, folder: Path) -> None:
    made = create(provider, name=f"{prefix}p", path=str(folder))
    shutil.rmtree(folder)
    provider.pools.delete(Work(), made.id, made.state)
    assert provider.pools.read(Work(), made.id, made.state) is None


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
    assert other.XMLDesc(0) == before
    other.destroy()
    other.undefine()
    folder.rmdir()


def test_import_of_a_foreign_pool_writes_nothing_and_leaves_its_folder(
    provider: Provider, daemon: Any, prefix: str, folder: Path
) -> None:
    other = foreign(daemon, f"{prefix}f", folder)
    (folder / "a").write_bytes(b"x")
    before = other.XMLDesc(0), other.XMLDesc(1)
    object_id = provider.pools.find(Work(), f"{prefix}f")
    state = provider.pools.read(Work(), object_id, None)
    assert (state.name, state.path, state.autostart) == (f"{prefix}f", str(folder), False)
    assert provider.pools.read(Work(), object_id, state) == state
    assert (other.XMLDesc(0), other.XMLDesc(1)) == before
    provider.pools.delete(Work(), object_id, state)
    assert (folder / "a").exists()
    shutil.rmtree(folder)


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/nope/deep", "/dev/null"])
def test_folder_that_cannot_be_leaves_nothing(provider: Provider, daemon: Any, prefix: str, path: str) -> None:
    with pytest.raises(Rejected) as caught:
        create(provider, name=f"{prefix}p", path=path)
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
