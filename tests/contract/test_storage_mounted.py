"""Pools of the file system on a device, which libvirt mounts: on a loop device of the test's own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.contract.storage_support import (
    MARKER,
    Lines,
    Provider,
    cuts,
    key,
    pool_spec,
    raw_image,
    template_spec,
    volume_spec,
)
from tests.loop_device import MIB, formatted, loop_device

from jvp.core.errors import NameTaken, Rejected
from jvp.core.work import Work
from jvp.libvirt.link.xml import parse, put, text_of
from jvp.libvirt.storage.pool_mark import inactive_xml
from jvp.resources.storage import pool as pools

pytestmark = pytest.mark.usefixtures("leftovers")


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    with loop_device(tmp_path / "device") as device:
        yield device


def create(provider: Provider, device: str, address: str = "m", *, format: str | None = "ext4", **bag: Any) -> Any:
    source = {"device": device, **({"format": format} if format else {})}
    spec = pool_spec(**{"type": "fs", "source": source, **bag})
    return provider.pools.create(Work(), key("storage pool", address), spec)


def is_mounted(device: str) -> bool:
    return device in Path("/proc/self/mounts").read_text().split()


@contextlib.contextmanager
def mounted(device: str, at: Path) -> Iterator[Path]:
    """What lies on the device, looked at without libvirt."""
    at.mkdir()
    subprocess.run(["mount", device, at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)
        at.rmdir()


def test_life(provider: Provider, daemon: Any, prefix: str, folder: Path, device: str, tmp_path: Path) -> None:
    """Made, read, stopped, started, refreshed, deleted: a blank device is formatted, and what is on it stays."""
    name = f"{prefix}m"
    made = create(provider, device, name=name, path=str(folder))
    assert (made.state.type, made.state.source.device, made.state.source.format) == ("fs", device, "ext4")
    assert (made.state.state, is_mounted(device)) == ("running", True)
    assert 0 < made.state.capacity_bytes < 64 * MIB  # the device's, not that of what the folder is on
    assert {path.name for path in folder.iterdir()} == {MARKER, "lost+found"}
    again = create(provider, device, name=name, path=str(folder))
    assert (again.id, again.state.uuid) == (made.id, made.state.uuid)
    for _ in range(2):
        seen = provider.pools.read(Work(), made.id, made.state)
        assert seen.model_dump() == made.state.model_dump()
    (folder / "by-hand").write_bytes(b"x")
    provider.pools.read(Work(), made.id, made.state)
    assert "by-hand" in daemon.storagePoolLookupByName(name).listVolumes()
    bag = {"name": name, "path": str(folder), "type": "fs", "source": {"device": device, "format": "ext4"}}
    stopped = provider.pools.update(Work(), made.id, made.state, pool_spec(**bag, active=False), ()).state
    assert (stopped.state, is_mounted(device), list(folder.iterdir())) == ("inactive", False, [])
    folder.rmdir()  # a mount point holds nothing, and is made again
    started = provider.pools.update(Work(), made.id, stopped, pool_spec(**bag), ()).state
    assert (started.state, (folder / "by-hand").exists()) == ("running", True)
    provider.pools.delete(Work(), made.id, started)
    provider.pools.delete(Work(), made.id, started)
    assert provider.pools.read(Work(), made.id, started) is None
    assert (folder.exists(), is_mounted(device)) == (False, False)
    with mounted(device, tmp_path / "look") as inside:
        assert {path.name for path in inside.iterdir()} == {"by-hand", "lost+found"}


def test_volumes_and_templates(provider: Provider, prefix: str, folder: Path, device: str, tmp_path: Path) -> None:
    name = f"{prefix}m"
    pool = create(provider, device, name=name, path=str(folder), deleteData=True)
    image = raw_image(tmp_path / "image", size=4 * MIB)
    template = provider.templates.create(
        Work(), key("template", "t"), template_spec(name="t", pool=name, source={"path": str(image)})
    )
    assert template.state.path.startswith(f"{folder}/")
    volumes = [
        provider.volumes.create(Work(), key("volume", label), volume_spec(name=label, pool=name, **bag))
        for label, bag in (
            ("blank", {"size": "8MiB"}),
            ("overlay", {"template": "t"}),
            ("copy", {"template": "t", "fullClone": True, "format": "raw"}),
        )
    ]
    grown = volume_spec(name="blank", pool=name, size="16MiB")
    assert provider.volumes.update(Work(), volumes[0].id, volumes[0].state, grown, ()).state.size_bytes == 16 * MIB
    assert volumes[1].state.backing_file == template.state.path
    assert Path(volumes[2].state.path).read_bytes() == image.read_bytes()
    for made in volumes[1:]:
        provider.volumes.delete(Work(), made.id, made.state)
    provider.templates.delete(Work(), template.id, template.state)
    provider.pools.delete(Work(), pool.id, pool.state)  # and with it the volume that is left
    with mounted(device, tmp_path / "look") as inside:
        assert [path.name for path in inside.iterdir()] == ["lost+found"]


@pytest.mark.parametrize("format", [None, "ext4"])
def test_what_is_on_a_device_is_mounted_as_it_is(
    provider: Provider, prefix: str, folder: Path, device: str, tmp_path: Path, format: str | None
) -> None:
    formatted(device)
    with mounted(device, tmp_path / "look") as inside:
        (inside / "precious").write_bytes(b"x")
    folder.mkdir()
    made = create(provider, device, name=f"{prefix}m", path=str(folder), format=format, deleteData=True)
    assert made.state.source.format == (format or "auto")
    assert (folder / "precious").read_bytes() == b"x"
    provider.pools.delete(Work(), made.id, made.state)
    assert list(folder.iterdir()) == []  # it was there before
    folder.rmdir()
    with mounted(device, tmp_path / "look") as inside:
        assert (inside / "precious").read_bytes() == b"x"


def test_a_device_with_anything_on_it_is_never_formatted(
    provider: Provider, daemon: Any, prefix: str, folder: Path, device: str
) -> None:
    subprocess.run(["mkswap", "-q", device], check=True)
    before = Path(device).read_bytes()
    for format, why in (("ext4", "only a blank device is formatted"), (None, "cannot be mounted")):
        with pytest.raises(Rejected, match=why) as caught:
            create(provider, device, name=f"{prefix}m", path=str(folder), format=format)
        assert caught.value.path == ("source", "device")
        assert "\n" not in caught.value.message
        assert "dmesg" not in caught.value.message
    assert Path(device).read_bytes() == before
    assert not folder.exists()
    assert f"{prefix}m" not in {one.name() for one in daemon.listAllStoragePools(0)}


def test_a_blank_device_is_not_formatted_unasked(provider: Provider, prefix: str, folder: Path, device: str) -> None:
    with pytest.raises(Rejected, match=r"if it is blank, declare in source\.format what it is to be formatted as"):
        create(provider, device, name=f"{prefix}m", path=str(folder), format=None)
    assert not any(Path(device).read_bytes())
    with pytest.raises(Rejected, match="/dev/no-such cannot be formatted: Source device does not exist"):
        create(provider, "/dev/no-such", name=f"{prefix}m", path=str(folder))
    assert not folder.exists()


def test_a_device_that_is_used_already(
    provider: Provider, prefix: str, folder: Path, device: str, tmp_path: Path
) -> None:
    link = tmp_path / "by-id"
    link.symlink_to(device)
    made = create(provider, device, name=f"{prefix}m", path=str(folder))
    for other in (device, str(link)):
        with pytest.raises(NameTaken, match=f'is the device of the storage pool "{prefix}m"') as caught:
            create(provider, other, "other", name=f"{prefix}n", path=f"{folder}2")
        assert caught.value.path == ("source", "device")
    provider.pools.delete(Work(), made.id, made.state)
    with mounted(device, tmp_path / "look") as inside:
        with pytest.raises(Rejected, match=f"is mounted at {inside} already") as refused:
            create(provider, str(link), name=f"{prefix}m", path=str(folder))
        assert refused.value.path == ("source", "device")


def test_another_source_replaces_and_is_seen(
    bench: Bench, daemon: Any, prefix: str, device: str, tmp_path: Path
) -> None:
    """Drift of all that a source says, which libvirt changes of a stopped pool alone."""
    name = bench.name("mounted")
    raw = {"name": name, "path": f"{bench.folder}/{name}", "type": "fs", "source": {"device": device, "format": "ext4"}}
    stored = bench.create("StoragePool", "mounted", raw).stored
    assert bench.plan("StoragePool", stored, raw) == []
    assert bench.plan("StoragePool", stored, {**raw, "source": {"device": device}}) == []
    for other, at in (
        ({**raw, "source": {"device": "/dev/other", "format": "ext4"}}, "source.device"),
        ({**raw, "source": {"device": device, "format": "xfs"}}, "source.format"),
    ):
        assert bench.plan("StoragePool", stored, other) == [at]
        assert bench.calls.diff("StoragePool", stored, bench.inputs("StoragePool", other)).replaces
    folder = {"name": name, "path": raw["path"], "type": "dir"}
    assert bench.calls.diff("StoragePool", stored, bench.inputs("StoragePool", folder)).replaces
    pool = daemon.storagePoolLookupByUUIDString(stored.id)
    pool.destroy()
    root = inactive_xml(pool)
    put(root, "source/device/@path", "/dev/other")
    pool.undefine()
    daemon.storagePoolDefineXML(text_of(root), 0)
    read = bench.read("StoragePool", stored)
    assert read is not None
    assert set(bench.plan("StoragePool", read, raw)) == {"active", "autostart", "source.device"}
    bench.delete("StoragePool", read)


def test_imported(bench: Bench, daemon: Any, device: str) -> None:
    """A pool that somebody else made: a plan of it is empty, and its deletion leaves the folder and the device."""
    formatted(device)
    folder = bench.folder / bench.name("theirs")
    root = parse("<pool type='fs'/>")
    put(root, "name", folder.name)
    put(root, "source/device/@path", device)
    put(root, "target/path", str(folder))
    pool = daemon.storagePoolDefineXML(text_of(root), 0)
    pool.build(0)
    pool.create(0)
    stored = bench.calls.import_("StoragePool", folder.name, Work())
    assert stored.state["source"] == {"device": device, "format": "auto"}
    raw = {"name": folder.name, "path": str(folder), "type": "fs", "source": {"device": device}, "autostart": False}
    assert bench.plan("StoragePool", stored, raw) == []
    bench.delete("StoragePool", stored)
    assert not is_mounted(device)
    folder.rmdir()


def test_a_guest_that_runs_from_it_keeps_it_mounted(
    bench: Bench, provider: Provider, device: str, prefix: str, folder: Path
) -> None:
    name = f"{prefix}m"
    made = create(provider, device, name=name, path=str(folder))
    guest = bench.create("Instance", "on-mounted", {
        "name": bench.name("on"), "memory": "32MiB", "rootDisk": {"pool": name, "size": "1MiB"},
        "shutdownTimeout": "0s"}).stored  # fmt: skip
    try:
        stopped = {"name": name, "path": str(folder), "type": "fs", "source": {"device": device}, "active": False}
        for act, path in (
            (lambda: provider.pools.update(Work(), made.id, made.state, pool_spec(**stopped), ()), ("active",)),
            (lambda: provider.pools.delete(Work(), made.id, made.state), ()),
        ):
            with pytest.raises(Rejected, match="cannot be unmounted while") as caught:
                act()
            assert caught.value.path == path
        assert (folder / MARKER).exists()
    finally:
        bench.delete("Instance", guest)
    lines = Lines()
    provider.pools.delete(lines.work(), made.id, made.state)
    assert lines.warnings == []
    assert not folder.exists()


def test_a_create_that_was_cut_off_is_finished(
    provider: Provider, prefix: str, folder: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is defined, noted, formatted, started, marked."""
    monkeypatch.setattr("jvp.libvirt.storage.volume_record._ABANDONED_S", 0.3)
    bag = {"name": f"{prefix}m", "path": str(folder)}
    for where in cuts(lambda one: create(one, device, **bag)):
        made = create(provider, device, **bag)
        assert provider.pools.read(Work(), made.id, made.state).active, where
        assert (folder / MARKER).exists(), where
        provider.pools.delete(Work(), made.id, made.state)
        assert not folder.exists(), where
        subprocess.run(["wipefs", "--all", "--quiet", device], check=True)


def test_a_delete_that_was_cut_off_is_finished(provider: Provider, prefix: str, folder: Path, device: str) -> None:
    bag = {"name": f"{prefix}m", "path": str(folder)}
    made = create(provider, device, **bag)

    def delete(one: Provider) -> None:
        one.pools.delete(Work(), made.id, made.state)

    for where in cuts(delete):
        provider.pools.delete(Work(), made.id, made.state)
        assert (folder.exists(), is_mounted(device)) == (False, False), where
        made = create(provider, device, **bag)
    provider.pools.delete(Work(), made.id, made.state)


def test_a_source_that_is_not_known_yet(bench: Bench) -> None:
    from jvp.core.values import UNKNOWN

    for source in (UNKNOWN, {"device": UNKNOWN, "format": "ext4"}):
        raw = {"name": bench.name("new"), "type": "fs", "source": source}
        bag = bench.calls.preview_create("StoragePool", bench.inputs("StoragePool", raw), Work())
        assert (bag["type"], bag["path"]) == ("fs", f"{pools.DEFAULT_FOLDER}/{raw['name']}")


def test_xfs(provider: Provider, prefix: str, folder: Path, tmp_path: Path) -> None:
    if shutil.which("mkfs.xfs") is None:
        pytest.skip("mkfs.xfs is not installed")
    with loop_device(tmp_path / "large", size=320 * MIB) as device:
        made = create(provider, device, name=f"{prefix}m", path=str(folder), format="xfs")
        assert {path.name for path in folder.iterdir()} == {MARKER}
        assert provider.pools.read(Work(), made.id, made.state).source.format == "xfs"
        provider.pools.delete(Work(), made.id, made.state)


def test_a_pool_of_a_type_that_is_not_made_here_is_imported(bench: Bench, daemon: Any) -> None:
    name = bench.name("theirs")
    theirs = daemon.storagePoolDefineXML(
        f"<pool type='logical'><name>{name}</name><source><name>{name}</name></source>"
        f"<target><path>/dev/{name}</path></target></pool>"
    )
    stored = bench.calls.import_("StoragePool", name, Work())
    assert (stored.state["type"], stored.state.get("source")) == ("logical", None)
    assert bench.plan("StoragePool", stored, {"name": name, "active": False, "autostart": False}) == []
    theirs.undefine()
    for act in (
        bench.create,
        lambda token, _, raw: bench.calls.preview_create(token, bench.inputs(token, raw), Work()),
    ):
        with pytest.raises(Rejected, match='of the type "logical" are not made by jvp, only imported') as caught:
            act("StoragePool", "theirs", {"name": name, "type": "logical"})
        assert caught.value.path == ("type",)
