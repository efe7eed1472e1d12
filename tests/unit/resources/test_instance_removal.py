"""Whether a guest is told to shut down before its machine is deleted: where a disk that it writes to stays."""

from __future__ import annotations

from typing import Any

import pytest

from jvp.libvirt.link.xml import parse
from jvp.libvirt.storage import layer_names
from jvp.resources.instance import removal
from jvp.resources.instance.definition import own_name

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


def test_what_lies_over_a_disk_goes_before_the_copy_is_there() -> None:
    """Its name does not say whose it is: each place that a copy may have is asked for, where there is one at all."""
    uuid, other = "0b1c2d3e-0000-4000-8000-00000000000a", "0b1c2d3e-0000-4000-8000-00000000000b"
    left = [layer_names.over_copied(own_name(one, 7)) for one in (uuid, other)]
    asked = set(removal._over_copied(uuid, left))
    assert asked & set(left) == set(left[:1])
    assert not set(removal._over_copied(uuid, ["jvp-copy", own_name(uuid, 7)]))
