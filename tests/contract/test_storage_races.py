"""What two runs do to storage at the same moment, and what changes between two looks of one run."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import libvirt
import pytest
from tests.contract.conftest import Bench
from tests.contract.storage_support import Provider, key, pool_spec, raw_image, volume_spec

from jvp.core.errors import Busy, Stopped
from jvp.core.work import Work
from jvp.libvirt.storage import lookup, pool_mark, volume_claim, volume_record
from jvp.resources.storage import volume_content

pytestmark = pytest.mark.usefixtures("leftovers")


def test_who_fills_a_volume_in_no_time_hears_all_the_same_that_another_run_took_it_over(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that data goes into is taken over without a wait, so that however quick the first one was, it must look."""
    image = raw_image(tmp_path / "image.raw")
    spec = volume_spec(name="v", pool=pool, format="raw", imagePath=str(image))
    fill, take = volume_content.images.fill, volume_record.take
    filled, taken, done = threading.Event(), threading.Event(), threading.Event()

    def held(*arguments: Any, **named: Any) -> Any:
        result = fill(*arguments, **named)
        if threading.current_thread() is not threading.main_thread():
            filled.set()
            assert taken.wait(60)
        return result

    def taking(*arguments: Any) -> None:
        take(*arguments)
        taken.set()
        assert done.wait(60)

    monkeypatch.setattr(volume_claim, "_SETTLE_S", 600.0)  # as if no time went by
    monkeypatch.setattr(volume_content.images, "fill", held)
    monkeypatch.setattr(volume_record, "take", taking)
    with ThreadPoolExecutor() as threads, contextlib.ExitStack() as ends:
        other = Provider()
        ends.callback(other.exit)
        first = threads.submit(other.volumes.create, Work(), key("volume", "v"), spec)
        assert filled.wait(60)
        first.add_done_callback(lambda _: done.set())
        made = provider.volumes.create(Work(), key("volume", "v"), spec)
        with pytest.raises(Busy, match="is being made by another run"):
            first.result(60)
    assert (folder / "v").read_bytes() == image.read_bytes()
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    provider.volumes.delete(Work(), made.id, made.state)


@pytest.mark.parametrize("settle_s", [600.0, 0.0], ids=["in no time", "slowly"])
def test_a_record_that_is_of_another_volume_by_the_time_it_is_free_stays(
    provider: Provider, pool: str, monkeypatch: pytest.MonkeyPatch, settle_s: float
) -> None:
    """Two runs delete a volume, and a third one makes it anew."""
    spec, others = volume_spec(name="v", pool=pool, size="1MiB"), list[Any]()
    made, delete = provider.volumes.create(Work(), key("volume", "v"), spec), libvirt.virStorageVol.delete

    def deleting(volume: libvirt.virStorageVol, flags: int = 0) -> Any:
        done = delete(volume, flags)
        if volume.name() == ".jvp-v.json" and not others:
            others.append(other.volumes.create(Work(), key("volume", "v"), spec))
            raise libvirt.libvirtError("volume '.jvp-v.json' is still in use.")
        return done

    monkeypatch.setattr(volume_claim, "_SETTLE_S", settle_s)
    other = Provider()
    with monkeypatch.context() as patched:
        patched.setattr(libvirt.virStorageVol, "delete", deleting)
        provider.volumes.delete(Work(), made.id, made.state)
    other.exit()
    (again,) = others
    assert provider.volumes.read(Work(), again.id, again.state) == again.state
    provider.volumes.delete(Work(), again.id, again.state)


def test_what_another_run_notes_in_a_pool_while_a_read_has_it_look_at_its_folder_stays(
    provider: Provider, daemon: Any, prefix: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first read of a pool writes that an engine knows it, and its folder may be large."""
    spec = pool_spec(name=f"{prefix}r", path=str(run_folder / "r"))
    made = provider.pools.create(Work(), key("storage pool", "r"), spec)
    look, there = lookup.look, daemon.storagePoolLookupByUUIDString(made.id)

    def looking(work: Work, pool: Any) -> None:
        look(work, pool)
        root = pool_mark.inactive_xml(there)
        mark = pool_mark.mark_of(root)
        assert mark is not None
        pool_mark.write(root, mark.having(going=True))
        provider.pools.api.define(root)

    with monkeypatch.context() as patched:
        patched.setattr(lookup, "look", looking)
        assert provider.pools.read(Work(), made.id, made.state) is not None
    mark = pool_mark.mark_of(pool_mark.inactive_xml(there))
    assert mark is not None
    assert mark.going
    assert mark.mark.acknowledged
    provider.pools.delete(Work(), made.id, made.state)


def test_a_create_in_a_stopped_pool_says_so_though_its_template_is_in_there(
    provider: Provider, daemon: Any, pool: str
) -> None:
    storage = daemon.storagePoolLookupByName(pool)

    def refused(**bag: Any) -> Stopped:
        with pytest.raises(Stopped) as caught:
            provider.volumes.create(Work(), key("volume", "x"), volume_spec(name="x", pool=pool, **bag))
        return caught.value

    storage.destroy()
    try:
        for bag in ({"size": "1MiB"}, {"template": "no-such-template"}):
            found = refused(**bag)
            assert (found.path, found.message) == (("pool",), f'storage pool "{pool}" is not active; start it')
    finally:
        storage.create()


def test_a_plan_tells_nothing_of_a_volume_that_was_there_before_under_its_name(bench: Bench) -> None:
    """What a read saw amiss goes with the volume: the one that is made in its place is another."""
    assert bench.pool is not None
    raw = {"name": bench.name("v"), "pool": bench.pool.id, "size": "1MiB"}
    stored = bench.create("Volume", "v", raw).stored
    path = Path(stored.state["path"])
    path.with_name(f".jvp-{path.name}.json").unlink()
    assert bench.read("Volume", stored) is not None  # that has lost its record
    path.unlink()
    assert bench.read("Volume", stored) is None
    again = bench.create("Volume", "v", raw).stored
    assert bench.plan("Volume", again, raw) == []
    bench.delete("Volume", again)


def test_who_had_to_wait_for_its_turn_to_call_a_volume_whole_hears_that_another_run_took_it_over(
    provider: Provider, daemon: Any, pool: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, uuid = volume_spec(name="v", pool=pool, size="4MiB"), daemon.storagePoolLookupByName(pool).UUIDString()
    monkeypatch.setattr(volume_claim, "_SETTLE_S", 0.5)
    made, whole = threading.Event(), volume_claim.Claim.finish

    def finish(claim: volume_claim.Claim, **facts: Any) -> Any:
        made.set()
        return whole(claim, **facts)

    with ThreadPoolExecutor() as threads, contextlib.ExitStack() as ends:
        other = Provider()
        ends.callback(other.exit)
        with other.node.pool_lock(uuid), monkeypatch.context() as patched:
            patched.setattr(volume_claim.Claim, "finish", finish)
            first = threads.submit(other.volumes.create, Work(), key("volume", "v"), spec)
            assert made.wait(60)
            second = provider.volumes.create(Work(), key("volume", "v"), spec)
        with pytest.raises(Busy, match="is being made by another run"):
            first.result(60)
    assert provider.volumes.read(Work(), second.id, second.state) == second.state
    provider.volumes.delete(Work(), second.id, second.state)
