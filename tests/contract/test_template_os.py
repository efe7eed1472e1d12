"""What is in a template's image: as the image says when it is put there, never by its name; and declared goes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import disk_images
from tests.contract.conftest import Bench
from tests.contract.kinds import IMAGE
from tests.contract.test_lists import listed, names

from jvp import images
from jvp.core.work import Work

Bag = dict[str, Any]

pytestmark = pytest.mark.skipif(
    bool(disk_images.MISSING), reason=f"not installed: {', '.join(disk_images.MISSING)}"
)  # fmt: skip


def test_two_images_with_misleading_names_and_one_that_says_nothing(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench.pool is not None
    debian = disk_images.system(tmp_path / "a", 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian \x1b[31m<{%12%}>"\n')
    alpine = disk_images.system(tmp_path / "b", "ID=alpine\nVERSION_ID=3.22.1\n", machine=0xB7)
    disk = disk_images.gpt(disk_images.ext4(debian, tmp_path / "fs"), tmp_path / "disk")
    fedora = disk_images.qcow2(disk, tmp_path / "Fedora-Cloud-Base-43.x86_64.qcow2", "-c")
    ubuntu = disk_images.ext4(alpine, tmp_path / "ubuntu-24.04-amd64.img")
    (tmp_path / "windows.img").write_bytes(IMAGE)

    def made(label: str, file: Path, **more: Any) -> tuple[Any, Bag]:
        raw: Bag = {
            "name": bench.name(label),
            "pool": bench.pool and bench.pool.id,
            "source": {"path": str(file)},
            **more,
        }
        return bench.create("Template", label, raw).stored, raw

    templates = [made("fedora", fedora), made("ubuntu", ubuntu), made("windows", tmp_path / "windows.img")]
    (one, raw), (two, _), (three, raw_three) = templates
    try:
        told = [[stored.state.get(name) for name in ("osRelease", "architecture")] for stored in (one, two, three)]
        assert told == [["debian-12", "x86_64"], ["alpine-3.22.1", "aarch64"], [None, None]]
        assert one.state["osName"] == "Debian \\x1b[31m<\\x7b%12%}>"
        here: Bag = {"pool": bench.pool.id, "name": f"{bench.prefix}*"}
        assert names(listed(bench, "Template", os="debian", **here)) == [raw["name"]]
        assert names(listed(bench, "Template", os="alpine-3.*", **here)) == [two.state["name"]]
        (shown,) = (item for item in listed(bench, "Template", details=True, **here) if item["id"] == three.id)
        assert not {"os", "architecture"} & shown.keys()

        # A copy of a disk says what that disk does.
        disk = bench.create("Volume", "disk", {"name": bench.name("disk"), "pool": bench.pool.id, "template": one.id})
        copy = {"name": bench.name("copy"), "pool": bench.pool.id, "source": {"volume": disk.stored.id}}
        golden = bench.create("Template", "copy", copy).stored
        assert (golden.state["osRelease"], golden.state["architecture"]) == ("debian-12", "x86_64")
        assert names(listed(bench, "Template", kind="volume", os="debian", **here)) == [golden.state["name"]]
        bench.delete("Template", golden)
        bench.delete("Volume", disk.stored)

        # What the program says goes first, and takes no look at the image.
        with monkeypatch.context() as closed:
            closed.setattr(images, "detected", None)
            raw |= {"os": "house-1"}
            one = bench.update("Template", one, raw).stored
            read = bench.read("Template", one)
            assert read is not None
            assert bench.plan("Template", read, raw) == []
            assert (read.state["os"], read.state["osRelease"]) == ("house-1", "debian-12")
            assert listed(bench, "Template", os="debian", **here) == []
            found, _ = bench.calls.invoke("getTemplate", {"template": two.id}, Work())
            assert found is not None
            assert (found["os"], found["architecture"]) == ("alpine-3.22.1", "aarch64")

        # Another image says something else; and one that is taken up again is asked again.
        user = bench.create(
            "Volume", "on", {"name": bench.name("on"), "pool": bench.pool.id, "template": three.id}
        ).stored
        changed = {**raw_three, "source": {"path": str(ubuntu)}}
        three = bench.update("Template", three, changed).stored
        assert three.state["osRelease"] == "alpine-3.22.1"
        three = bench.update("Template", three, raw_three).stored
        assert "osRelease" not in three.state
        assert bench.plan("Template", three, raw_three) == []
        bench.delete("Volume", user)
    finally:
        for stored in (one, two, three):
            bench.delete("Template", stored)
