"""A file that is called as a record of ours, and is none: no verb writes or removes it, and the refusal names it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.contract.storage_support import MARKER, Provider, key, pool_spec, raw_image, template_spec, volume_spec

from jvp.core.errors import Rejected
from jvp.core.work import Work

THEIRS = (b"shopping list", b'{"version":1,"list":[]}', b"\0" * 5000, b"{" * 70_000)
IS_NONE = "has the name of a record that jvp keeps, and is none; move it away"


@pytest.fixture(params=THEIRS, ids=["text", "json", "zeros", "long"])
def theirs(request: pytest.FixtureRequest) -> bytes:
    return bytes(request.param)


@pytest.fixture(params=["listed", "not listed"])
def listed(request: pytest.FixtureRequest) -> bool:
    """Whether libvirt knows of the file, or it was put there since the pool looked at its folder."""
    return bool(request.param == "listed")


def lay(daemon: Any, pool: str, path: Path, content: bytes, listed: bool) -> None:
    path.write_bytes(content)
    if listed:
        daemon.storagePoolLookupByName(pool).refresh(0)


def test_a_volume_is_not_made_over_it(
    provider: Provider, daemon: Any, pool: str, folder: Path, theirs: bytes, listed: bool
) -> None:
    path = folder / ".jvp-v.json"
    lay(daemon, pool, path, theirs, listed)
    with pytest.raises(Rejected, match=IS_NONE) as refused:
        provider.volumes.create(Work(), key("volume", "v"), volume_spec(name="v", pool=pool, size="4MiB"))
    assert str(path) in refused.value.message
    assert path.read_bytes() == theirs
    assert not (folder / "v").exists()
    path.unlink()


def test_a_template_is_not_made_over_it(
    provider: Provider, daemon: Any, pool: str, folder: Path, tmp_path: Path
) -> None:
    path, image = folder / ".jvp-template@t.json", raw_image(tmp_path / "image.raw")
    lay(daemon, pool, path, THEIRS[0], True)
    spec = template_spec(name="t", pool=pool, source={"path": str(image)})
    with pytest.raises(Rejected, match=IS_NONE):
        provider.templates.create(Work(), key("template", "t"), spec)
    assert path.read_bytes() == THEIRS[0]
    assert {one.name for one in folder.iterdir()} == {MARKER, path.name}
    path.unlink()


def test_a_delete_leaves_it(provider: Provider, daemon: Any, pool: str, folder: Path, theirs: bytes) -> None:
    made = provider.volumes.create(Work(), key("volume", "v"), volume_spec(name="v", pool=pool, size="4MiB"))
    path = folder / ".jvp-v.json"
    path.unlink()
    lay(daemon, pool, path, theirs, True)
    with pytest.raises(Rejected, match="has lost its record"):
        provider.volumes.delete(Work(), made.id, made.state)
    (folder / "v").unlink()
    provider.volumes.delete(Work(), made.id, made.state)
    assert path.read_bytes() == theirs
    path.unlink()


def test_a_pool_is_neither_marked_over_it_nor_deleted_with_it(provider: Provider, prefix: str, tmp_path: Path) -> None:
    home = tmp_path / "theirs"
    home.mkdir()
    (home / MARKER).write_bytes(THEIRS[0])
    name = f"{prefix}theirs"
    with pytest.raises(Rejected, match=IS_NONE):
        provider.pools.create(Work(), key("storage pool", name), pool_spec(name=name, path=str(home)))
    assert name not in [pool.name() for pool in provider.node.connection.listAllStoragePools(0)]
    assert (home / MARKER).read_bytes() == THEIRS[0]
    (home / MARKER).unlink()
    spec = pool_spec(name=name, path=str(home), deleteData=True)
    made = provider.pools.create(Work(), key("storage pool", name), spec)
    left = {".jvp-a.json": THEIRS[0], "a": b"precious", ".jvp-b.json": b"\0" * 4096, "b": b"precious too"}
    for file, content in left.items():
        (home / file).write_bytes(content)
    (home / MARKER).write_bytes(THEIRS[1])
    provider.pools.delete(Work(), made.id, made.state)
    # A blank record was never written, so it is ours, and tells of nothing.
    assert {one.name: one.read_bytes() for one in home.iterdir()} == {
        **{file: content for file, content in left.items() if file != ".jvp-b.json"},
        MARKER: THEIRS[1],
    }


def test_a_record_of_a_newer_version_is_left_as_it_is(provider: Provider, daemon: Any, pool: str, folder: Path) -> None:
    made = provider.volumes.create(Work(), key("volume", "v"), volume_spec(name="v", pool=pool, size="4MiB"))
    path = folder / ".jvp-v.json"
    mine = path.read_bytes()
    newer = json.dumps({**json.loads(mine.rstrip(b"\0")), "version": 2, "further": "x" * 8000}).encode()
    path.write_bytes(newer)
    for verb in (
        lambda: provider.volumes.read(Work(), made.id, made.state),
        lambda: provider.volumes.delete(Work(), made.id, made.state),
        lambda: provider.volumes.create(Work(), key("volume", "v"), volume_spec(name="v", pool=pool, size="4MiB")),
    ):
        with pytest.raises(Rejected, match="a newer version of jvp keeps this volume"):
            verb()
    assert path.read_bytes() == newer
    path.write_bytes(mine)
    provider.volumes.delete(Work(), made.id, made.state)


def test_a_blank_record_is_taken_over(
    provider: Provider, daemon: Any, pool: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jvp.libvirt.storage.volume_record._ABANDONED_S", 0.1)
    for content in (b"", b"\0" * 4096, b" " * 4096):
        lay(daemon, pool, folder / ".jvp-v.json", content, True)
        made = provider.volumes.create(Work(), key("volume", "v"), volume_spec(name="v", pool=pool, size="4MiB"))
        assert os.path.getsize(folder / ".jvp-v.json") == 4096  # noqa: PTH202
        provider.volumes.delete(Work(), made.id, made.state)
