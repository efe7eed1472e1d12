"""Our mark in the metadata of domains and networks."""

from __future__ import annotations

import pytest

from jvp.core.declaration import Declaration
from jvp.core.identity import DeclaredBy, Key, Mark
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import Element, parse, same_xml, text_of
from jvp.libvirt.storage import pool_mark
from jvp.libvirt.storage.bulk import SeenPool
from jvp.libvirt.storage.pool_mark import PoolMark

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


NAMES = Declaration(tuple((f"name{number:05}",) for number in range(1500)), settings={"waitFor": "ip"})


def domain(uuid: str) -> Element:
    return parse(f"<domain><uuid>{uuid}</uuid></domain>")


def test_what_is_declared_stands_in_an_element_of_its_own_which_older_versions_do_not_read() -> None:
    root = domain("a")
    mark = MARK.declaring(Declaration((("memory",),), settings={"waitFor": "ip"}))
    marks.put(root, marks.element_of(mark, {"template": "t"}, {"cpus": "why"}))
    assert marks.mark_of(parse(text_of(root))) == mark
    assert marks.facts_of(root) == {"template": "t"}
    assert marks.pending_of(root) == {"cpus": "why"}
    element = marks.find(root)
    assert element is not None
    assert element.findtext("{urn:jvp:mark:1}declared") == '{"names":{"memory":{}},"settings":{"waitFor":"ip"}}'


def test_a_copy_of_an_object_is_declared_by_nobody() -> None:
    key = Key("me", "instance", "a", declared_by=DeclaredBy("cli"))
    for mark in (Mark.new(key, 3), Mark("", 0, declared_by=key.declared_by)):
        mine, copy = domain(key.uuid(3)), domain(key.uuid(2))
        marks.put(mine, marks.element_of(mark.declaring(Declaration((("memory",),)))))
        assert marks.bearer(mine) == marks.mark_of(mine) or not mark.key
        found = marks.bearer(mine)
        assert found is not None
        assert found.declared
        assert marks.declarer_of(mine) == "cli"
        assert marks.stack_of(mine) == mark.stack
        copy.append(mine.find("metadata"))
        assert marks.bearer(copy) is None
        assert marks.declarer_of(copy) is None
        assert marks.stack_of(copy) == ""
        mark_there = marks.mark_of(copy)
        assert mark_there is None or not mark_there.declared
    assert marks.bearer(domain("a")) is None
    noted = domain("a")
    marks.put(noted, marks.element_of(Mark("", 0), pending={"cpus": "later"}))
    assert marks.bearer(noted) is None, "notes alone make nobody its owner"


@pytest.mark.parametrize(("room", "kept"), [(600, NAMES.nameless().text), (190, "")])
def test_what_is_declared_gives_way_in_a_long_mark_the_names_first(room: int, kept: str) -> None:
    root = domain("a")
    marks.put(root, marks.element_of(MARK.declaring(NAMES), {"fact": "x"}))
    marks.set_fact(root, "fact", "x" * (marks.MOST - room))
    found = marks.mark_of(root)
    assert found is not None
    assert found.declared == kept
    element = marks.find(root)
    assert element is not None
    assert len(text_of(element)) <= marks.MOST


def test_a_copied_definition_of_a_pool_is_listed_as_nobodys() -> None:
    key = Key("me", "storage pool", "a", declared_by=DeclaredBy("cli"))
    for uuid, by in ((key.uuid(0), "cli"), (key.uuid(1), None)):
        root = parse(f"<pool><name>p</name><uuid>{uuid}</uuid><source/></pool>")
        pool_mark.write(root, PoolMark(Mark.new(key, 0)))
        assert SeenPool(uuid, "p", "running", None, root).declared_by == by
