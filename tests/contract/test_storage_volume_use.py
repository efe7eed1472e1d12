"""Volumes against a real daemon: what they are made from, and who uses them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from tests.contract.storage_support import MIB, Provider, key, raw_image, template_spec, volume_spec

from jvp.core.calls import Calls
from jvp.core.check import check
from jvp.core.errors import Invalid, NotFound, Rejected
from jvp.core.identity import Mark
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import parse, put, sub, text_of
from jvp.resources.storage.volume import Volume

pytestmark = pytest.mark.usefixtures("leftovers")


@pytest.fixture
def template(provider: Provider, pool: str, tmp_path: Path) -> Iterator[Any]:
    image = raw_image(tmp_path / "image.raw")
    spec = template_spec(name="t", pool=pool, source={"path": str(image)})
    made = provider.templates.create(Work(), key("template", "t"), spec)
    yield made
    provider.templates.delete(Work(), made.id, made.state)


@pytest.fixture
def domains(daemon: Any, prefix: str) -> Iterator[Any]:
    """Makes domains with disks: running ones without a guest, ours or somebody else's."""
    made = []

    def make(name: str, disks: dict[str, str], *, ours: bool, start: bool = True) -> Any:
        root = parse(
            "<domain type='qemu'><memory unit='MiB'>32</memory><os><type machine='q35'>hvm</type></os></domain>"
        )
        put(root, "name", prefix + name)
        if ours:
            mine = key("instance", name)
            put(root, "uuid", mine.uuid(0))
            marks.put(root, marks.element_of(Mark.new(mine, 0)))
        devices = sub(root, "devices")
        for index, (path, format) in enumerate(disks.items()):
            disk = sub(devices, "disk", type="file", device="disk")
            sub(disk, "driver", name="qemu", type=format)
            sub(disk, "source", file=path)
            sub(disk, "target", dev=f"vd{'abc'[index]}", bus="virtio")
        domain = daemon.defineXML(text_of(root))
        made.append(domain)
        if start:
            domain.create()
        return domain

    yield make
    for domain in made:
        with contextlib.suppress(libvirt.libvirtError):
            domain.destroy()
        with contextlib.suppress(libvirt.libvirtError):
            domain.undefine()


def create(provider: Provider, address: str = "v", **bag: Any) -> Any:
    return provider.volumes.create(Work(), key("volume", address), volume_spec(**bag))


def drop(provider: Provider, made: Any) -> None:
    provider.volumes.delete(Work(), made.id, made.state)


def test_references_in_other_spellings_are_no_change(provider: Provider, pool: str, template: Any) -> None:
    calls = Calls({"Volume": provider.volumes}, {})
    inputs = check(Volume, {"name": "v", "pool": pool, "template": f"{pool}/t"}).inputs
    stored = calls.create("Volume", key("volume", "v"), inputs, Work()).stored
    uuid = stored.state["poolUuid"]
    upper = {"pool": uuid.upper(), "template": f"{uuid.upper()}/t"}
    for other in ({"pool": uuid}, {"template": template.id}, {"template": "t"}, upper):
        assert calls.diff("Volume", stored, {**inputs, **other}).changes == ()
    assert calls.diff("Volume", stored, {**inputs, "template": f"{pool}/u"}).replaces
    calls.delete("Volume", Stored(stored.id, stored.inputs, stored.state), Work())
    again = calls.create("Volume", key("volume", "v"), {**inputs, **upper}, Work()).stored
    assert {name: again.state[name] for name in ("pool", "template", "poolUuid")} == {**upper, "poolUuid": uuid}
    assert calls.preview_create("Volume", {**inputs, **upper}, Work())["poolUuid"] == uuid
    calls.delete("Volume", again, Work())


@pytest.mark.parametrize(
    ("bag", "size", "backed"),
    [
        ({}, 8, True),
        ({"size": "9MiB"}, 9, True),
        ({"format": "raw"}, 8, False),
        ({"format": "raw", "size": "9MiB"}, 9, False),
        ({"fullClone": True, "size": "9MiB"}, 9, False),
    ],
)
@pytest.mark.parametrize("image", ["raw", "qcow2"])
def test_from_a_template(
    provider: Provider,
    pool: str,
    folder: Path,
    tmp_path: Path,
    image: str,
    bag: dict[str, Any],
    size: int,
    backed: bool,
) -> None:
    raw = raw_image(tmp_path / "image")
    source = raw
    if image == "qcow2":
        source = tmp_path / "qcow2"
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, source], check=True)
    spec = template_spec(name="t", pool=pool, source={"path": str(source)})
    template = provider.templates.create(Work(), key("template", "t"), spec)
    made = create(provider, name="v", pool=pool, template=f"{pool}/t", **bag)
    assert made.state.size_bytes == size * MIB
    assert made.state.backing_file == (template.state.path if backed else None)
    assert _info(folder / "v")["actual-size"] < 3 * MIB
    format = bag.get("format", "qcow2")
    compare = ["qemu-img", "compare", "-f", "raw", "-F", format, raw, folder / "v"]
    assert subprocess.run(compare, capture_output=True).returncode == 0
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    if backed:
        with pytest.raises(Rejected, match=f'used by volume "{pool}/v"'):
            provider.templates.delete(Work(), template.id, template.state)
    drop(provider, made)
    provider.templates.delete(Work(), template.id, template.state)


def test_smaller_than_its_template(provider: Provider, pool: str, template: Any) -> None:
    with pytest.raises(Invalid, match="4194304 bytes, and the template") as caught:
        create(provider, name="v", pool=pool, template=f"{pool}/t", size="4MiB")
    assert "8388608" in caught.value.message
    assert caught.value.path == ("size",)


@pytest.mark.parametrize(
    ("bag", "path"), [({"pool": "nope", "size": "4MiB"}, ("pool",)), ({"template": "nope"}, ("template",))]
)
def test_missing_references_name_what_there_is(
    provider: Provider, pool: str, template: Any, bag: dict[str, Any], path: Any
) -> None:
    with pytest.raises(NotFound, match="there are: ") as caught:
        create(provider, **{"name": "v", "pool": pool, **bag})
    assert caught.value.path == path
    assert (pool if path == ("pool",) else "/t") in caught.value.message


def test_base_of_another_volume_is_not_deleted(provider: Provider, daemon: Any, pool: str, folder: Path) -> None:
    made = create(provider, name="v", pool=pool, size="4MiB")
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", folder / "v", "-F", "qcow2", folder / "over"]
    subprocess.run(command, check=True)
    daemon.storagePoolLookupByName(pool).refresh(0)
    with pytest.raises(Rejected, match=f"is the base of {pool}/over"):
        drop(provider, made)
    (folder / "over").unlink()
    drop(provider, made)


@pytest.mark.parametrize("start", [True, False])
def test_attached_to_a_foreign_domain(provider: Provider, domains: Any, prefix: str, pool: str, start: bool) -> None:
    made = create(provider, name="v", pool=pool, size="4MiB")
    domain = domains("foreign", {made.state.path: "qcow2"}, ours=False, start=start)
    with pytest.raises(Rejected, match=f"{prefix}foreign"):
        drop(provider, made)
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    assert made.state.path in domain.XMLDesc(2)
    if start:
        domain.destroy()
    domain.undefine()
    drop(provider, made)


def test_attached_to_our_own_stopped_domain(provider: Provider, domains: Any, pool: str) -> None:
    made = create(provider, name="v", pool=pool, size="4MiB")
    domain = domains("ours", {made.state.path: "qcow2"}, ours=True, start=False)
    stubborn = made.state.model_copy(update={"detach_on_delete": False})
    with pytest.raises(Rejected, match="detachOnDelete is false"):
        provider.volumes.delete(Work(), made.id, stubborn)
    drop(provider, made)
    assert made.state.path not in domain.XMLDesc(2)


@pytest.mark.parametrize("format", ["qcow2", "raw"])
def test_grows_under_a_running_guest(provider: Provider, domains: Any, pool: str, folder: Path, format: str) -> None:
    made = create(provider, name="v", pool=pool, size="4MiB", format=format)
    domain = domains("runs", {made.state.path: format}, ours=False)
    spec = volume_spec(name="v", pool=pool, size="6MiB", format=format)
    grown = provider.volumes.update(Work(), made.id, made.state, spec, ())
    assert grown.state.size_bytes == 6 * MIB
    assert domain.blockInfo("vda")[0] == 6 * MIB
    domain.destroy()
    domain.undefine()
    drop(provider, made)


def test_raw_disk_that_a_guest_made_look_like_qcow2(provider: Provider, daemon: Any, pool: str, folder: Path) -> None:
    made = create(provider, name="v", pool=pool, size="4MiB", format="raw")
    evil = folder.parent / "evil"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", evil, "1G"], check=True
    )
    with (folder / "v").open("r+b") as file:
        file.write(evil.read_bytes())
    evil.unlink()
    daemon.storagePoolLookupByName(pool).refresh(0)
    assert provider.volumes.read(Work(), made.id, made.state) == made.state
    with pytest.raises(Rejected, match="its content looks like qcow2"):
        provider.volumes.update(
            Work(), made.id, made.state, volume_spec(name="v", pool=pool, size="8MiB", format="raw"), ()
        )
    drop(provider, made)


def _info(path: Path) -> Any:
    import json

    return json.loads(
        subprocess.run(["qemu-img", "info", "-U", "--output=json", path], check=True, capture_output=True).stdout
    )


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_a_raw_disk_that_looks_like_an_overlay_covers_nothing(
    provider: Provider, daemon: Any, pool: str, folder: Path, domains: Any, whose: str
) -> None:
    """A guest can write any header into its disk: by our record, or by what QEMU is told, it is raw all the same."""
    made = create(provider, name="v", pool=pool, size="1MiB")
    liar = create(provider, "liar", name="liar", pool=pool, size="1MiB", format="raw")
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", folder / "v", "-F", "qcow2", folder / "liar"]
    subprocess.run(words, check=True)
    if whose == "theirs":
        (folder / ".jvp-liar.json").unlink()
        domains("d", {str(folder / "liar"): "raw"}, ours=False, start=False)
    daemon.storagePoolLookupByName(pool).refresh()
    grown = provider.volumes.update(Work(), made.id, made.state, volume_spec(name="v", pool=pool, size="2MiB"), ())
    assert grown.state.size_bytes == 2 * MIB
    drop(provider, grown)
    assert not (folder / "v").exists()
    if whose == "ours":
        provider.volumes.delete(Work(), liar.id, liar.state)
    else:
        (folder / "liar").unlink()
