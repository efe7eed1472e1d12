"""What a kind of pool cannot do is refused in its own sentence, by plans too, and before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.contract.storage_support import raw_image

from jvp.core.errors import Rejected
from jvp.core.outlook import Asked
from jvp.core.work import Work
from jvp.libvirt.storage import kinds

CANNOT: dict[kinds.Ability, str] = {
    "resize": "volumes here keep their size",
    "clone": "volumes here are not converted",
    "backing": "volumes here stand on nothing",
    "upload": "nothing is written into volumes here",
}


@pytest.fixture
def stiff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are a kind that can do none of it."""
    row = kinds.DIR._replace(cannot=CANNOT)
    monkeypatch.setattr(kinds, "_KINDS", {**kinds._KINDS, row.type: row})


@pytest.fixture
def names(bench: Bench, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """A template and a volume, made before the pool can do less."""
    assert bench.pool is not None
    pool = bench.pool.id
    source = {"path": str(raw_image(tmp_path / "image"))}
    template = bench.create("Template", "t", {"name": bench.name("t"), "pool": pool, "source": source}).stored
    volume = bench.create("Volume", "v", {"name": bench.name("v"), "pool": pool, "size": "2MiB"}).stored
    made = {"pool": pool, "template": template.id, "volume": volume.id}
    request.getfixturevalue("stiff")
    yield made, volume
    bench.delete("Volume", volume)
    bench.delete("Template", template)


def test_what_it_cannot_do(bench: Bench, names: Any, tmp_path: Path) -> None:
    have, _ = names
    pool, template = have["pool"], have["template"]
    image = str(raw_image(tmp_path / "other"))
    cases: list[tuple[str, dict[str, Any], kinds.Ability, str]] = [
        ("Volume", {"pool": pool, "template": template}, "backing", "pool"),
        ("Volume", {"pool": pool, "template": template, "fullClone": True, "format": "raw"}, "upload", "pool"),
        ("Volume", {"pool": pool, "template": template, "fullClone": True}, "clone", "pool"),
        ("Volume", {"pool": pool, "volume": have["volume"]}, "upload", "pool"),
        ("Volume", {"pool": pool, "imagePath": image, "format": "raw"}, "upload", "pool"),
        ("Template", {"pool": pool, "source": {"path": image}}, "upload", "pool"),
        ("Instance", {"template": template, "memory": "32MiB"}, "backing", "template"),
        ("Instance", {"template": template, "memory": "32MiB", "rootDisk": {"pool": pool, "format": "raw"}}, "upload",
         "rootDisk.pool"),
    ]  # fmt: skip
    before = holder(bench, pool)
    for token, raw, ability, path in cases:
        inputs = bench.inputs(token, {"name": bench.name("new"), **raw})
        lines: list[str] = []
        asked = Asked(lambda token=token: bench.key(token, "new"))
        bench.calls.preview_create(token, inputs, Work(warn=lines.append), asked)
        assert any(CANNOT[ability] in line and line.startswith(path) for line in lines), (token, raw, lines)
        with pytest.raises(Rejected, match=CANNOT[ability]) as caught:
            bench.create(token, "new", inputs)
        assert str(caught.value).startswith(path)
    assert holder(bench, pool) == before


def test_what_cannot_grow(bench: Bench, names: Any) -> None:
    have, volume = names
    larger = bench.inputs("Volume", {"name": volume.state["name"], "pool": have["pool"], "size": "3MiB"})
    lines: list[str] = []
    bench.calls.preview_update("Volume", volume, larger, Work(warn=lines.append))
    assert any(line.startswith("size: ") and CANNOT["resize"] in line for line in lines), lines
    raw = {"name": bench.name("vm"), "memory": "32MiB", "powerState": "stopped"}
    guest = bench.create("Instance", "vm", {**raw, "rootDisk": {"pool": have["pool"], "size": "1MiB"}}).stored
    root = {"pool": have["pool"], "size": "2MiB"}
    for token, stored, wanted, path in (
        ("Volume", volume, larger, "size: "),
        ("Instance", guest, {**raw, "rootDisk": root}, "rootDisk.size: "),
    ):
        with pytest.raises(Rejected, match=CANNOT["resize"]) as caught:
            bench.update(token, stored, wanted)
        assert str(caught.value).startswith(path)
    bench.delete("Instance", guest)


def holder(bench: Bench, pool: str) -> set[str]:
    found = bench.connection.storagePoolLookupByUUIDString(pool)
    found.refresh(0)
    return set(found.listVolumes())
