"""Who declares an object, as it is noted on it: short, printable, and nothing that anybody can break."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jvp.core.identity import ADDRESS_BYTES, LABEL_BYTES, DeclaredBy, Key, Mark, maker
from jvp.core.work import Work
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import Element, parse, put, text_of
from jvp.libvirt.storage import pool_mark
from jvp.libvirt.storage.pool_mark import PoolMark

STACK = DeclaredBy.of("pulumi", "shop/dev", "urn:pulumi:dev::shop::::lan")
KEY = Key("me", "Network", "a", "lan", STACK)
OLD = "<jvp:mark xmlns:jvp='urn:jvp:mark:1' key='k' generation='1' acknowledged='yes' owner='me' hosts='x'/>"


def network(mark: str = "") -> Element:
    return parse(f"<network><name>n</name><metadata>{mark}</metadata></network>")


@given(st.text(), st.text(), st.text())
def test_what_an_engine_says_fits_and_is_read_back(door: str, label: str, address: str) -> None:
    by = DeclaredBy.of("pulumi", label, address)
    assert len(by.label.encode()) <= LABEL_BYTES
    assert len(by.address.encode()) <= ADDRESS_BYTES
    assert (by.label + by.address).isprintable()
    root = network()
    marks.put(root, marks.element_of(Mark("k", 1, declared_by=by)))
    assert marks.mark_of(parse(text_of(root))) == Mark("k", 1, declared_by=by)
    pool = parse("<pool><name>p</name><source/></pool>")
    pool_mark.write(pool, PoolMark(Mark("k", 1, declared_by=by), made=True))
    assert pool_mark.mark_of(parse(text_of(pool))) == PoolMark(Mark("k", 1, declared_by=by), made=True)
    found = DeclaredBy.read({"door": door, "label": label, "address": address})
    assert found is None or str(found).isprintable()


@pytest.mark.parametrize("found", [None, "", 1, [], {}, {"door": ""}, {"door": 1}, {"label": "x"}])
def test_what_is_no_note_is_none(found: Any) -> None:
    assert DeclaredBy.read(found) is None


def test_a_clipped_letter_is_left_out() -> None:
    assert DeclaredBy.of("pulumi", "ä" * 300, "").label == "ä" * (LABEL_BYTES // 2)
    assert DeclaredBy.of("pulumi", "x" + "€" * 300, "").label.count("€") == (LABEL_BYTES - 1) // 3


def test_sentences_name_who_declares_what_holds_a_name() -> None:
    assert maker(None) == "which this resource did not make"
    assert maker(Mark("k", 0)) == "which another resource of jvp made (an engine, name not recorded)"
    assert 'made (the Pulumi stack "shop/dev", urn:pulumi:dev::shop::::lan)' in maker(Mark.new(KEY, 0))
    there = DeclaredBy.of("terraform", "default", "jvp_network lan")
    assert 'made (the Terraform workspace "default", jvp_network lan)' in maker(Mark("k", 0, declared_by=there))


def test_an_update_notes_who_declares_it_and_keeps_the_rest() -> None:
    root = network(OLD)
    assert marks.mark_of(root) == Mark("k", 1, True, "me")
    marks.update(root, Work(key=KEY), {"a": 1})
    assert marks.mark_of(root) == Mark("k", 1, True, "me", STACK)
    assert marks.facts_of(root).keys() == {"hosts", marks.WROTE}
    marks.update(root, Work(), {"a": 1})
    assert marks.mark_of(root) == Mark("k", 1, True, "me", STACK)


def test_the_program_is_the_stack_or_the_owner() -> None:
    k, other_key = KEY.digest, Key("me", "Network", "b").digest

    def stack(mark: Mark) -> str:
        root = network()
        put(root, "uuid", str(uuid.uuid5(uuid.UUID(mark.key), str(mark.generation))))
        marks.put(root, marks.element_of(mark))
        return marks.stack_of(root)

    other = replace(STACK, address="urn:pulumi:dev::shop::::other")
    assert stack(Mark(k, 1, declared_by=STACK)) == stack(Mark(other_key, 2, declared_by=other)) != ""
    assert stack(Mark(k, 1, declared_by=STACK)) != stack(Mark(k, 1, declared_by=replace(STACK, label="shop/prod")))
    assert stack(Mark(k, 1, declared_by=STACK)) != stack(Mark(k, 1, owner="me", declared_by=STACK))
    workspace = DeclaredBy.of("terraform", "default", "jvp_network lan")
    assert stack(Mark(k, 1, declared_by=workspace)) == stack(Mark(k, 1)) == marks.stack_of(network()) == ""
    assert stack(Mark(k, 1, owner="tf-1", declared_by=workspace)) == "tf-1"


def test_an_imported_object_gets_a_mark_that_owns_nothing() -> None:
    root = network()
    marks.update(root, Work(key=KEY), {})
    assert marks.mark_of(root) is None
    element = marks.find(root)
    assert element is not None
    assert marks.parsed(element).declared_by == STACK
    assert not marks.is_empty(root)


def test_the_mark_of_a_pool_stays_readable_for_older_versions() -> None:
    """They make a Mark of what is in "mark", and of no other name."""
    pool = parse("<pool><name>p</name></pool>")
    assert pool_mark.declare(pool, Work(key=KEY), has_marker=False)
    assert not pool_mark.declare(pool, Work(key=KEY), has_marker=False)
    assert pool_mark.mark_of(pool) is None
    noted = pool_mark.noted(pool)
    assert noted is not None
    assert noted.mark.declared_by == STACK
    assert '"mark":{"key":"","generation":0,"acknowledged":true,"owner":""}' in text_of(pool).replace("&quot;", '"')


def test_a_pool_with_a_vendor_of_its_own_is_left_as_it_is() -> None:
    text = '<pool><name>p</name><source><vendor name="them"/></source></pool>'
    pool = parse(text)
    assert not pool_mark.declare(pool, Work(key=KEY), has_marker=False)
    assert text_of(pool) == text


@pytest.mark.parametrize("generation", ["", "x", "-1", "1e9"])
def test_a_mark_that_somebody_broke_is_read_all_the_same(generation: str) -> None:
    mark = marks.mark_of(network(OLD.replace("generation='1'", f"generation='{generation}'")))
    assert mark is not None
    assert mark.generation == 0
