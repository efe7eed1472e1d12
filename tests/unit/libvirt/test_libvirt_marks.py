"""Our mark in the metadata of domains and networks."""

from __future__ import annotations

import pytest

from jvp.core.identity import Key, Mark
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import parse, same_xml, text_of

MARK = Mark(Key("", "network", "n").digest, 2, owner='alice <&">')
FOREIGN = "<network><name>a</name><metadata><x:y xmlns:x='urn:x'>kept</x:y></metadata></network>"


def test_round_trip_keeps_all() -> None:
    root = parse(FOREIGN)
    element = marks.element_of(
        MARK, {"template": "t", "none": ""}, {"nics.eth0": "the guest <slept> & more", "cpus": ""}
    )
    marks.put(root, element)
    again = parse(text_of(root))
    assert marks.mark_of(again) == MARK
    assert marks.facts_of(again) == {"template": "t"}
    assert marks.pending_of(again) == {"nics.eth0": "the guest <slept> & more", "cpus": ""}
    assert again.findtext("metadata/{urn:x}y") == "kept"


@pytest.mark.parametrize("acknowledged", [True, False])
def test_acknowledged(acknowledged: bool) -> None:
    root = parse("<domain/>")
    marks.put(root, marks.element_of(Mark("k", 0, acknowledged)))
    assert marks.mark_of(root) == Mark("k", 0, acknowledged)


def test_a_second_mark_takes_the_place_of_the_first() -> None:
    root, other = parse(FOREIGN), parse(FOREIGN)
    for generation in range(3):
        marks.put(root, marks.element_of(Mark("k", generation)))
    marks.put(other, marks.element_of(Mark("k", 2)))
    assert same_xml(root, other)


@pytest.mark.parametrize(
    "text", ["<domain/>", FOREIGN, "<domain><metadata/></domain>", "<domain><mark key='k'/></domain>"]
)
def test_no_mark_is_foreign(text: str) -> None:
    root = parse(text)
    assert marks.mark_of(root) is None
    assert marks.find(root) is None
    assert marks.facts_of(root) == {}
    assert marks.pending_of(root) == {}


def test_notes_on_an_imported_object_do_not_make_it_ours() -> None:
    root = parse("<domain/>")
    marks.put(root, marks.element_of(Mark("", 0, True), pending={"cpus": "later"}))
    assert marks.mark_of(root) is None
    assert marks.pending_of(root) == {"cpus": "later"}


def test_the_mark_as_it_is_written_never_changes_between_releases() -> None:
    text = text_of(marks.element_of(Mark("KEY", 1, True, "me"), {"template": "t"}, {"cpus": "why"}))
    assert text == (
        '<jvp:mark xmlns:jvp="urn:jvp:mark:1" key="KEY" generation="1" acknowledged="yes" owner="me" template="t">'
        '<jvp:pending path="cpus">why</jvp:pending></jvp:mark>'
    )
