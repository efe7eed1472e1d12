"""Templates against a real daemon."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.contract.storage_support import MARKER, MIB, Provider, key, pool_spec, raw_image, template_spec, volume_spec

from jvp.core.calls import Calls
from jvp.core.check import check
from jvp.core.errors import Busy, Cancelled, Invalid, JvpError, NameTaken, NotFound, Rejected
from jvp.core.work import Work
from jvp.images.segments import Meter
from jvp.libvirt.storage.templates import template_of
from jvp.resources.instance.storage import root_name
from jvp.resources.storage.template import Template

pytestmark = pytest.mark.usefixtures("leftovers")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return raw_image(tmp_path / "image.raw")


def create(
    provider: Provider, pool: str, address: str = "t", name: str | None = "t", work: Work | None = None, **source: str
) -> Any:
    spec = template_spec(name=name, pool=pool, source=source)
    return provider.templates.create(work or Work(), key("template", address), spec)


def update(provider: Provider, pool: str, made: Any, **source: str) -> Any:
    spec = template_spec(name="t", pool=pool, source=source)
    return provider.templates.update(Work(), made.id, made.state, spec, ())


def drop(provider: Provider, made: Any) -> None:
    provider.templates.delete(Work(), made.id, made.state)


def overlay(provider: Provider, pool: str, name: str = "v") -> Any:
    spec = volume_spec(name=name, pool=pool, template=f"{pool}/t")
    return provider.volumes.create(Work(), key("volume", name), spec)


def test_life(provider: Provider, pool: str, folder: Path, image: Path) -> None:
    made = create(provider, pool, path=str(image))
    state = made.state
    assert state.volume_name == f"jvp-template-t-{state.digest[:12]}"
    assert (state.format, state.size_bytes, state.path) == ("raw", 8 * MIB, str(folder / state.volume_name))
    assert (folder / state.volume_name).read_bytes() == image.read_bytes()
    assert (folder / state.volume_name).stat().st_mode & 0o777 == 0o444
    assert (folder / state.volume_name).stat().st_blocks * 512 < 2 * MIB
    assert create(provider, pool, path=str(image)).state == state
    for _ in range(2):
        assert provider.templates.read(Work(), made.id, state) == state
    assert provider.templates.find(Work(), f"{pool}/t") == made.id
    assert provider.templates.find(Work(), made.id) == made.id
    assert made.id in {one.id for one in provider.templates.list(Work())}
    assert not [one for one in provider.volumes.list(Work()) if one.name.startswith(f"{pool}/")]
    with pytest.raises(NameTaken, match="choose another name") as refused:
        create(provider, pool, path=str(image))
    assert refused.value.id == made.id
    with pytest.raises(NameTaken, match="another resource of jvp"):
        create(provider, pool, "other", path=str(image))
    drop(provider, made)
    drop(provider, made)
    assert provider.templates.read(Work(), made.id, state) is None


def test_changed_file_is_a_planned_update(provider: Provider, pool: str, folder: Path, image: Path) -> None:
    calls = Calls({"Template": provider.templates}, {})
    raw = {"name": "t", "pool": pool, "source": {"path": str(image)}}
    stored = calls.create("Template", key("template", "t"), check(Template, raw).inputs, Work()).stored
    assert calls.diff("Template", stored, check(Template, raw).inputs).changes == ()
    image.rename(image.with_name("away"))
    assert calls.diff("Template", stored, check(Template, raw).inputs).changes == ()
    raw_image(image)
    inputs = check(Template, raw).inputs
    plan = calls.diff("Template", stored, inputs)
    assert plan.changes
    assert not plan.replaces
    preview = calls.preview_update("Template", stored, inputs, Work())
    updated = calls.update("Template", stored, inputs, Work()).stored
    assert updated.id == stored.id
    for name in ("digest", "volumeName"):
        assert preview[name] == updated.state[name] != stored.state[name]
    assert calls.diff("Template", updated, inputs).changes == ()
    assert calls.read("Template", updated, Work()) == updated
    assert not (folder / stored.state["volumeName"]).exists()
    calls.delete("Template", updated, Work())


def test_old_image_goes_with_its_last_user(provider: Provider, pool: str, folder: Path, image: Path) -> None:
    made = create(provider, pool, path=str(image))
    first, second = overlay(provider, pool, "a"), overlay(provider, pool, "b")
    raw_image(image)
    renewed = update(provider, pool, made, path=str(image))
    assert renewed.id == made.id
    assert template_of(provider.node, f"{pool}/t").volume_name == renewed.state.volume_name
    for user, there in ((first, True), (second, False)):
        provider.volumes.delete(Work(), user.id, user.state)
        assert (folder / made.state.volume_name).exists() == there
    drop(provider, renewed)


def test_back_to_an_image_that_is_still_there(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, image: Path
) -> None:
    made = create(provider, pool, path=str(image))
    user = overlay(provider, pool)
    other = raw_image(tmp_path / "other.raw")
    update(provider, pool, made, path=str(other))
    back = update(provider, pool, made, path=str(image))
    assert back.state.digest == made.state.digest
    assert back.state.volume_name == made.state.volume_name
    provider.volumes.delete(Work(), user.id, user.state)
    assert (folder / back.state.volume_name).exists()
    drop(provider, back)


def test_used_template_is_not_deleted(provider: Provider, pool: str, image: Path) -> None:
    made = create(provider, pool, path=str(image))
    user = overlay(provider, pool)
    with pytest.raises(Rejected, match=f'used by volume "{pool}/v"'):
        drop(provider, made)
    assert provider.templates.read(Work(), made.id, made.state) == made.state
    provider.volumes.delete(Work(), user.id, user.state)
    drop(provider, made)


def test_overlay_made_behind_libvirts_back_counts(provider: Provider, pool: str, folder: Path, image: Path) -> None:
    made = create(provider, pool, path=str(image))
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", made.state.path, "-F", "raw", folder / "over"]
    subprocess.run(command, check=True)
    with pytest.raises(Rejected, match=f"{pool}/over"):
        drop(provider, made)
    (folder / "over").unlink()
    drop(provider, made)


def test_a_root_disk_whose_instance_was_undefined_is_called_so(
    provider: Provider, daemon: Any, prefix: str, pool: str, folder: Path, image: Path
) -> None:
    made = create(provider, pool, path=str(image))
    uuid = str(uuid4())
    root = folder / root_name(uuid)
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", made.state.path, "-F", "raw", root]
    subprocess.run(command, check=True)
    domain = daemon.defineXML(
        f"<domain type='qemu'><name>{prefix}off</name><uuid>{uuid}</uuid><memory>32768</memory>"
        "<os><type>hvm</type></os></domain>"
    )
    with pytest.raises(Rejected, match=f'used by volume "{pool}/{root.name}"; delete those first'):
        drop(provider, made)
    domain.undefine()
    says = f'"{pool}/{root.name}", the root disk of an instance that was undefined; first apply the program'
    with pytest.raises(Rejected, match=says):
        drop(provider, made)
    root.unlink()
    drop(provider, made)


@pytest.mark.parametrize("how", ["volume", "record", "both"])
def test_gone_by_every_way(provider: Provider, pool: str, folder: Path, image: Path, how: str) -> None:
    made = create(provider, pool, path=str(image))
    provider.templates.read(Work(), made.id, made.state)
    if how != "record":
        (folder / made.state.volume_name).unlink()
    if how != "volume":
        (folder / ".jvp-template@t.json").unlink()
    assert provider.templates.read(Work(), made.id, made.state) is None
    if how == "record":
        with pytest.raises(Rejected, match="has lost its record"):
            drop(provider, made)
        (folder / made.state.volume_name).unlink()
    drop(provider, made)
    again = create(provider, pool, path=str(image))
    assert provider.templates.read(Work(), again.id, made.state) is None
    drop(provider, made)
    assert provider.templates.read(Work(), again.id, again.state) == again.state
    drop(provider, again)


def test_a_stopped_pool_tells_nothing(provider: Provider, daemon: Any, pool: str, image: Path) -> None:
    made = create(provider, pool, path=str(image))
    storage = daemon.storagePoolLookupByName(pool)
    storage.destroy()
    said: list[str] = []
    assert provider.templates.read(Work(warn=said.append), made.id, made.state) == made.state
    assert said == [f'template "{made.state.name}" is taken to be as it was: storage pool "{pool}" is not active']
    with pytest.raises(Rejected, match="is not active; start it"):
        provider.templates.read(Work(), made.id, None)
    with pytest.raises(Rejected, match="is not active; start it"):
        provider.templates.delete(Work(), made.id, made.state)
    storage.create()
    drop(provider, made)


def test_cancel_takes_everything_back(
    provider: Provider, pool: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = raw_image(tmp_path / "big.raw", size=64 * MIB, data=32 * MIB)
    spec = template_spec(name="t", pool=pool, source={"path": str(image)})
    work = Work()

    def show(_: Meter) -> None:
        """Where a progress would be shown: not before there is something to take back."""
        if any(path.name.startswith("jvp-template-t-") for path in folder.iterdir()):
            work.cancelled.set()

    monkeypatch.setattr(Meter, "show", show)
    with pytest.raises(Cancelled):
        provider.templates.create(work, key("template", "t"), spec)
    assert {path.name for path in folder.iterdir()} == {MARKER}


def test_two_runs_at_once(provider: Provider, pool: str, folder: Path, tmp_path: Path) -> None:
    image = raw_image(tmp_path / "big.raw", size=300 * MIB, data=200 * MIB)
    spec = template_spec(name="t", pool=pool, source={"path": str(image)})
    results: list[Any] = []

    def run() -> None:
        one = Provider()
        try:
            results.append(one.templates.create(Work(), key("template", "t"), spec))
        except JvpError as error:
            results.append(error)
        finally:
            one.exit()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    made = [one for one in results if not isinstance(one, JvpError)]
    assert made
    assert all(isinstance(one, Busy) for one in results if isinstance(one, JvpError)), results
    assert (folder / made[0].state.volume_name).read_bytes() == image.read_bytes()
    drop(provider, made[0])


def test_import_previews_empty(provider: Provider, pool: str, image: Path) -> None:
    made = create(provider, pool, path=str(image))
    calls = Calls({"Template": provider.templates}, {})
    stored = calls.import_("Template", f"{pool}/t", Work())
    assert stored is not None
    assert stored.id == made.id
    assert stored.inputs["source"]["path"] == str(image)
    assert calls.diff("Template", stored, stored.inputs).changes == ()
    drop(provider, made)


def test_names_that_exist_are_named(provider: Provider, pool: str, image: Path) -> None:
    made = create(provider, pool, path=str(image))
    for reference in ("nope", f"{pool}/nope"):
        with pytest.raises(NotFound, match=f"{pool}/t"):
            template_of(provider.node, reference)
    drop(provider, made)


def test_same_name_in_two_pools_is_ambiguous(
    provider: Provider, prefix: str, run_folder: Path, pool: str, image: Path
) -> None:
    second = provider.pools.create(
        Work(), key("storage pool", "2"), pool_spec(name=f"{prefix}t2", path=str(run_folder / "two"))
    )
    made = [create(provider, where, where, path=str(image)) for where in (pool, f"{prefix}t2")]
    alone = create(provider, pool, "alone", name=f"{prefix}alone", path=str(image))
    assert provider.templates.find(Work(), f"{prefix}alone") == alone.id
    drop(provider, alone)
    with pytest.raises(Invalid, match="more than one template") as caught:
        template_of(provider.node, "t", ("template",))
    assert f"{pool}/t" in caught.value.message
    assert f"{prefix}t2/t" in caught.value.message
    assert template_of(provider.node, "t", pool=pool).id == made[0].id
    for one in made:
        drop(provider, one)
    provider.pools.delete(Work(), second.id, second.state)
