"""Where a domain's disk has its data: a file, or a block device."""

from jvp.libvirt.domain import disk_source
from jvp.libvirt.link.xml import parse, text_of


def test_a_source_is_written_by_the_type_of_the_disk() -> None:
    disk = parse("<disk device='disk'/>")
    disk_source.point(disk, "/dev/vg/a", disk_source.BLOCK)
    assert text_of(disk) == '<disk device="disk" type="block"><source dev="/dev/vg/a"/></disk>'
    assert disk_source.path_of(disk) == "/dev/vg/a"
    disk_source.point(disk, "/pools/a")
    assert text_of(disk) == '<disk device="disk" type="file"><source file="/pools/a"/></disk>'
    assert disk_source.path_of(disk) == "/pools/a"


def test_what_else_a_source_says_stays() -> None:
    disk = parse("<disk type='file'><source file='/a'><seclabel model='dac'/></source></disk>")
    disk_source.point(disk, "/b")
    assert text_of(disk) == '<disk type="file"><source file="/b"><seclabel model="dac"/></source></disk>'


def test_a_disk_without_a_path() -> None:
    for text in ("<disk/>", "<disk><source/></disk>", "<disk type='network'><source protocol='rbd' name='a'/></disk>"):
        assert disk_source.path_of(parse(text)) is None
