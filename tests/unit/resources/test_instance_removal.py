"""Whether a guest is told to shut down before its machine is deleted: where a disk that it writes to stays."""

from __future__ import annotations

from typing import Any

import pytest

from jvp.libvirt.link.xml import parse
from jvp.resources.instance import removal

RBD = "<disk type='network' device='disk'><source protocol='rbd' name='pool/image'/><target dev='vdb'/></disk>"
FILE = "<disk type='file' device='disk'><source file='/p/root'/><target dev='vda'/></disk>"
CD = "<disk type='file' device='cdrom'><source file='/p/cd'/><target dev='sda'/></disk>"


@pytest.mark.parametrize(
    ("disks", "goes", "outlived"),
    [(FILE, {"/p/root"}, False), (FILE, set(), True), (FILE + RBD, {"/p/root"}, True), (RBD, set(), True),
     (FILE + CD, {"/p/root"}, False)],
)  # fmt: skip
def test_a_disk_that_stays(monkeypatch: pytest.MonkeyPatch, disks: str, goes: set[str], outlived: bool) -> None:
    root: Any = parse(f"<domain><devices>{disks}</devices></domain>")
    monkeypatch.setattr(removal.guest, "is_active", lambda domain: True)
    monkeypatch.setattr(removal.devices, "live_xml", lambda domain: root)
    assert removal._outlived(None, goes) is outlived
