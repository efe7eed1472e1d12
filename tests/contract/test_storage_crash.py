"""Storage survives a provider that dies at any libvirt call: the next run finishes, and nothing is left over."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.storage_support import (
    MARKER,
    MIB,
    Provider,
    cuts,
    key,
    pool_spec,
    raw_image,
    template_spec,
    volume_spec,
)

from jvp.core.errors import JvpError, NameTaken
from jvp.core.work import Work
from jvp.libvirt.storage import volume_claim, volume_record

pytestmark = pytest.mark.usefixtures("leftovers")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty sidecar is taken for abandoned soon: its writer is dead, and the tests need not wait for it."""
    monkeypatch.setattr(volume_record, "_ABANDONED_S", 0.1)
    monkeypatch.setattr(volume_claim, "_SETTLE_S", 0.01)


@pytest.fixture
def folder(run_folder: Path) -> Iterator[Path]:
    yield run_folder / "pool"
    if (run_folder / "pool").exists():
        (run_folder / "pool").rmdir()


@pytest.fixture
def pool(daemon: Any, prefix: str, folder: Path) -> Iterator[str]:
    """A pool that holds nothing at the end of a good test."""
    provider = Provider()
    made = provider.pools.create(
        Work(), key("storage pool", f"{prefix}c"), pool_spec(name=f"{prefix}c", path=str(folder))
    )
    yield f"{prefix}c"
    assert inside(folder) == {MARKER}
    provider.pools.delete(Work(), made.id, made.state)
    provider.exit()
    assert not folder.exists()


def inside(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def kept(verb: str, kind: str, made: Any) -> Any:
    """`read` or `delete` in a new provider."""
    return again(lambda provider: getattr(getattr(provider, kind), verb)(Work(), made.id, made.state))


def again(act: Callable[[Provider], Any]) -> Any:
    """The same in a new provider."""
    provider = Provider()
    try:
        return act(provider)
    finally:
        provider.exit()


@pytest.mark.parametrize("exists", [False, True], ids=["new folder", "folder that was there"])
def test_pool_create(daemon: Any, prefix: str, folder: Path, exists: bool) -> None:
    spec, owner = pool_spec(name=f"{prefix}p", path=str(folder)), key("storage pool", "p")
    if exists:
        folder.mkdir()

    def create(provider: Provider) -> Any:
        return provider.pools.create(Work(), owner, spec)

    for where in cuts(create):
        made = again(create)
        assert made.state.active, where
        assert [one.name() for one in daemon.listAllStoragePools(0) if one.name() == f"{prefix}p"], where
        kept("delete", "pools", made)
        assert folder.exists() == exists, where
        assert not exists or not inside(folder), where


@pytest.mark.parametrize("exists", [False, True], ids=["new folder", "folder that was there"])
def test_pool_delete(daemon: Any, prefix: str, folder: Path, exists: bool) -> None:
    spec, owner = pool_spec(name=f"{prefix}p", path=str(folder)), key("storage pool", "p")
    if exists:
        folder.mkdir()
    made = again(lambda provider: provider.pools.create(Work(), owner, spec))

    def delete(provider: Provider) -> None:
        provider.pools.delete(Work(), made.id, made.state)

    for where in cuts(delete):
        again(delete)
        assert folder.exists() == exists, where
        assert not exists or not inside(folder), where
        again(lambda provider: provider.pools.create(Work(), owner, spec))
    again(delete)


@pytest.mark.parametrize("exists", [False, True], ids=["new folder", "folder that was there"])
def test_pool_delete_with_its_data(daemon: Any, prefix: str, folder: Path, exists: bool) -> None:
    spec, owner = pool_spec(name=f"{prefix}p", path=str(folder), deleteData=True), key("storage pool", "p")
    if exists:
        folder.mkdir()

    def furnish() -> Any:
        made = again(lambda provider: provider.pools.create(Work(), owner, spec))
        volume = volume_spec(name="v", pool=f"{prefix}p", size="4MiB")
        again(lambda provider: provider.volumes.create(Work(), key("volume", "v"), volume))
        return made

    made = furnish()

    def delete(provider: Provider) -> None:
        provider.pools.delete(Work(), made.id, made.state)

    for where in cuts(delete):
        again(delete)
        assert folder.exists() == exists, where
        assert not exists or not inside(folder), where
        made = furnish()
    again(delete)


def volumes(pool: str) -> dict[str, dict[str, Any]]:
    return {
        "blank": {"size": "4MiB"},
        "blank raw": {"size": "4MiB", "format": "raw"},
        "overlay": {"template": f"{pool}/t"},
        "raw copy": {"template": f"{pool}/t", "format": "raw", "size": "9MiB"},
        "converted copy": {"template": f"{pool}/t", "fullClone": True, "size": "9MiB"},
        "auto-named": {"size": "4MiB", "name": None},
    }


@pytest.fixture
def template(pool: str, prefix: str, tmp_path: Path) -> Iterator[Any]:
    image = raw_image(tmp_path / "image.raw")
    spec = template_spec(name="t", pool=pool, source={"path": str(image)})
    made = again(lambda provider: provider.templates.create(Work(), key("template", "t"), spec))
    yield made
    kept("delete", "templates", made)


@pytest.mark.parametrize("shape", list(volumes("")))
def test_volume_create(pool: str, template: Any, folder: Path, shape: str) -> None:
    spec = volume_spec(**{"name": "v", "pool": pool, **volumes(pool)[shape]})
    owner, before = key("volume", "v"), inside(folder)

    def create(provider: Provider) -> Any:
        return provider.volumes.create(Work(), owner, spec)

    whole = again(create)
    names = inside(folder)
    again(lambda provider: provider.volumes.delete(Work(), whole.id, whole.state))
    assert inside(folder) == before
    for where in cuts(create):
        made = again(create)
        assert made.state.model_copy(update={"nonce": None}) == whole.state.model_copy(update={"nonce": None}), where
        assert inside(folder) == names, where
        kept("delete", "volumes", made)
        assert inside(folder) == before, where


@pytest.mark.parametrize("shape", ["clone", "clone of an overlay", "image"])
def test_volume_from_another_source(pool: str, template: Any, folder: Path, tmp_path: Path, shape: str) -> None:
    made_from = {"size": "4MiB"} if shape == "clone" else {"template": f"{pool}/t"}
    origin_spec = volume_spec(name="o", pool=pool, **made_from)
    origin = again(lambda provider: provider.volumes.create(Work(), key("volume", "o"), origin_spec))
    image = {"imagePath": str(tmp_path / "image.raw"), "format": "raw", "size": "9MiB"}
    spec = volume_spec(name="v", pool=pool, **(image if shape == "image" else {"volume": origin.id, "size": "9MiB"}))
    before = inside(folder)

    def create(provider: Provider) -> Any:
        return provider.volumes.create(Work(), key("volume", "v"), spec)

    for where in cuts(create):
        made = again(create)
        assert made.state.size_bytes == 9 * MIB, where
        assert inside(folder) == {*before, "v", ".jvp-v.json"}, where
        if shape == "image":
            compare = ["qemu-img", "compare", "-f", "raw", "-F", "raw", tmp_path / "image.raw", folder / "v"]
        else:
            compare = ["qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", folder / "o", folder / "v"]
        assert subprocess.run(compare, capture_output=True).returncode == 0, where
        kept("delete", "volumes", made)
        assert inside(folder) == before, where
    kept("delete", "volumes", origin)


def test_a_file_that_is_removed_after_a_cut_is_made_anew(
    pool: str, template: Any, folder: Path, tmp_path: Path
) -> None:
    """The pool lists it until it looks at its folder again; as it does for a moment while another run makes it."""
    own = template_spec(name="own", pool=pool, source={"path": str(tmp_path / "image.raw")})
    made = {
        "volumes": (key("volume", "v"), volume_spec(name="v", pool=pool, size="4MiB")),
        "templates": (key("template", "own"), own),
    }
    before = inside(folder)
    for kind, arguments in made.items():

        def create(provider: Provider, kind: str = kind, arguments: Any = arguments) -> Any:
            return getattr(provider, kind).create(Work(), *arguments)

        names: set[str] = set()
        for where in cuts(create):
            for name in inside(folder) - before:
                if not name.startswith("."):
                    (folder / name).unlink()
            found = again(create)
            assert Path(found.state.path).exists(), where
            assert inside(folder) == (names or inside(folder)), where
            names = inside(folder)
            kept("delete", kind, found)
            assert inside(folder) == before, where


def test_volume_update(pool: str, folder: Path) -> None:
    owner = key("volume", "v")
    spec, larger = (volume_spec(name="v", pool=pool, size=size) for size in ("4MiB", "6MiB"))
    made = again(lambda provider: provider.volumes.create(Work(), owner, spec))

    def update(provider: Provider) -> Any:
        return provider.volumes.update(Work(), made.id, made.state, larger, ())

    for where in cuts(update):
        assert again(update).state.size_bytes == 6 * MIB, where
        kept("delete", "volumes", made)
        made = again(lambda provider: provider.volumes.create(Work(), owner, spec))
    kept("delete", "volumes", made)


def test_volume_delete(pool: str, folder: Path) -> None:
    owner, spec = key("volume", "v"), volume_spec(name="v", pool=pool, size="4MiB")
    made = again(lambda provider: provider.volumes.create(Work(), owner, spec))

    def delete(provider: Provider) -> None:
        provider.volumes.delete(Work(), made.id, made.state)

    for where in cuts(delete):
        seen = kept("read", "volumes", made)
        assert seen is None or seen.nonce == made.state.nonce, where
        again(delete)
        assert inside(folder) == {MARKER}, where
        made = again(lambda provider: provider.volumes.create(Work(), owner, spec))
    again(delete)


def test_volume_created_again_after_a_cut_delete_that_a_refresh_called_gone(pool: str, folder: Path) -> None:
    owner, spec = key("volume", "v"), volume_spec(name="v", pool=pool, size="4MiB")
    made = again(lambda provider: provider.volumes.create(Work(), owner, spec))

    def delete(provider: Provider) -> None:
        provider.volumes.delete(Work(), made.id, made.state)

    for _where in cuts(delete):
        if kept("read", "volumes", made) is None:
            made = again(lambda provider: provider.volumes.create(Work(), owner, spec))
    again(delete)


def test_last_user_takes_the_superseded_image_with_it(pool: str, folder: Path, tmp_path: Path) -> None:
    image, owner = raw_image(tmp_path / "image.raw"), key("template", "t")

    def spec() -> Any:
        return template_spec(name="t", pool=pool, source={"path": str(image)})

    made = again(lambda provider: provider.templates.create(Work(), owner, spec()))
    over = volume_spec(name="v", pool=pool, template=f"{pool}/t")

    def delete(provider: Provider) -> None:
        provider.volumes.delete(Work(), volume.id, volume.state)

    def renew(provider: Provider) -> Any:
        return provider.templates.update(Work(), made.id, made.state, spec(), ())

    volume = again(lambda provider: provider.volumes.create(Work(), key("volume", "v"), over))
    raw_image(image)
    made = again(renew)
    for where in cuts(delete):
        again(delete)
        assert inside(folder) == {MARKER, ".jvp-template@t.json", made.state.volume_name}, where
        volume = again(lambda provider: provider.volumes.create(Work(), key("volume", "v"), over))
        raw_image(image)
        made = again(renew)
        assert len(inside(folder)) == 6, where
    again(delete)
    kept("delete", "templates", made)


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_template_create(pool: str, folder: Path, tmp_path: Path, format: str) -> None:
    image = raw_image(tmp_path / "image.raw")
    if format == "qcow2":
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", image, tmp_path / "image.qcow2"], check=True)
        image = tmp_path / "image.qcow2"
    spec = template_spec(name="t", pool=pool, source={"path": str(image)})

    def create(provider: Provider) -> Any:
        return provider.templates.create(Work(), key("template", "t"), spec)

    for where in cuts(create):
        made = again(create)
        assert inside(folder) == {MARKER, ".jvp-template@t.json", made.state.volume_name}, where
        assert (folder / made.state.volume_name).read_bytes() == image.read_bytes(), where
        kept("delete", "templates", made)
        assert inside(folder) == {MARKER}, where


def test_template_create_cut_and_then_another_image_declared(pool: str, folder: Path, tmp_path: Path) -> None:
    first, second = raw_image(tmp_path / "a.raw"), raw_image(tmp_path / "b.raw")
    specs = [template_spec(name="t", pool=pool, source={"path": str(path)}) for path in (first, second)]

    def create(number: int) -> Callable[[Provider], Any]:
        return lambda provider: provider.templates.create(Work(), key("template", "t"), specs[number])

    for where in cuts(create(0)):
        made = again(create(1))
        assert inside(folder) == {MARKER, ".jvp-template@t.json", made.state.volume_name}, where
        assert (folder / made.state.volume_name).read_bytes() == second.read_bytes(), where
        kept("delete", "templates", made)


def test_template_update(pool: str, folder: Path, tmp_path: Path) -> None:
    first, second = raw_image(tmp_path / "a.raw"), raw_image(tmp_path / "b.raw")
    specs = [template_spec(name="t", pool=pool, source={"path": str(path)}) for path in (first, second)]
    made = again(lambda provider: provider.templates.create(Work(), key("template", "t"), specs[0]))

    def update(provider: Provider) -> Any:
        return provider.templates.update(Work(), made.id, made.state, specs[1], ())

    def back(provider: Provider) -> Any:
        return provider.templates.update(Work(), made.id, made.state, specs[0], ())

    for where in cuts(update):
        seen = kept("read", "templates", made)
        assert seen is not None, where
        assert (folder / seen.volume_name).exists(), where
        renewed = again(update)
        assert inside(folder) == {MARKER, ".jvp-template@t.json", renewed.state.volume_name}, where
        assert (folder / renewed.state.volume_name).read_bytes() == second.read_bytes(), where
        made = again(back)
    kept("delete", "templates", made)


def test_template_delete(pool: str, folder: Path, tmp_path: Path) -> None:
    spec = template_spec(name="t", pool=pool, source={"path": str(raw_image(tmp_path / "a.raw"))})
    owner = key("template", "t")
    made = again(lambda provider: provider.templates.create(Work(), owner, spec))

    def delete(provider: Provider) -> None:
        provider.templates.delete(Work(), made.id, made.state)

    for where in cuts(delete):
        again(delete)
        assert inside(folder) == {MARKER}, where
        made = again(lambda provider: provider.templates.create(Work(), owner, spec))
    again(delete)


def test_undo_of_a_wrong_checksum_is_cut_off_too(pool: str, folder: Path, tmp_path: Path) -> None:
    image = raw_image(tmp_path / "a.raw")
    owner = key("template", "t")
    wrong = template_spec(name="t", pool=pool, source={"path": str(image), "checksum": "sha256:" + "0" * 64})
    right = template_spec(name="t", pool=pool, source={"path": str(image)})

    def create(provider: Provider) -> None:
        with pytest.raises(JvpError, match="checksum does not match"):
            provider.templates.create(Work(), owner, wrong)

    for where in cuts(create):
        made = again(lambda provider: provider.templates.create(Work(), owner, right))
        assert inside(folder) == {MARKER, ".jvp-template@t.json", made.state.volume_name}, where
        kept("delete", "templates", made)
        assert inside(folder) == {MARKER}, where


def test_foreign_volume_that_took_the_name_after_a_cut_is_left_alone(pool: str, folder: Path) -> None:
    owner, spec = key("volume", "v"), volume_spec(name="v", pool=pool, size="4MiB")

    def create(provider: Provider) -> Any:
        return provider.volumes.create(Work(), owner, spec)

    tried = 0
    for where in cuts(create):
        if not (folder / "v").exists():
            (folder / "v").write_bytes(b"precious")
            again(lambda provider: provider.node.connection.storagePoolLookupByName(pool).refresh(0))
            with pytest.raises(NameTaken):
                again(create)
            assert (folder / "v").read_bytes() == b"precious", where
            (folder / "v").unlink()
            again(lambda provider: provider.node.connection.storagePoolLookupByName(pool).refresh(0))
            tried += 1
        made = again(create)
        kept("delete", "volumes", made)
    # The calls that write the record, and the one that makes the volume.
    assert tried > 3


@pytest.mark.parametrize("in_time", [True, False])
@pytest.mark.parametrize("kind", ["volume", "template"])
def test_what_is_made_anew_while_the_old_one_is_removed_keeps_its_record(
    pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, in_time: bool
) -> None:
    """An engine deletes and creates side by side where a resource was given another address."""
    monkeypatch.setattr(volume_claim, "_SETTLE_S", 1.0 if in_time else 0.01)
    image = raw_image(tmp_path / "image.raw")
    spec = volume_spec(name="x", pool=pool, size="4MiB")
    if kind == "template":
        spec = template_spec(name="x", pool=pool, source={"path": str(image)})
    verbs, name = f"{kind}s", "x"
    old = again(lambda provider: getattr(provider, verbs).create(Work(), key(kind, name), spec))
    kept("read", verbs, old)
    found: list[Any] = []

    def make() -> None:
        found.append(again(lambda provider: getattr(provider, verbs).create(Work(), key(kind, name), spec)))

    maker, remove = threading.Thread(target=make), volume_claim.remove_when_free

    def remove_and_make(work: Work, volume: Any) -> None:
        remove(work, volume)
        if maker.ident is None:
            maker.start()
            maker.join(0.2 if in_time else None)

    monkeypatch.setattr(volume_claim, "remove_when_free", remove_and_make)
    kept("delete", verbs, old)
    maker.join()
    (new,) = found
    assert kept("read", verbs, new) is not None
    kept("delete", verbs, new)
