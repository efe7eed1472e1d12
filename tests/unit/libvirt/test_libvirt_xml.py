"""XML by paths: safe parsing, reading, patching that keeps what is foreign."""

from __future__ import annotations

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pydantic import Field

from jvp.core.facts import At, Computed
from jvp.core.model import Spec, fields
from jvp.libvirt.link.xml import (
    drop,
    ensure,
    from_text,
    parse,
    put,
    read_facts,
    same_xml,
    sub,
    text_of,
    value,
    write_facts,
)


class Thing(Spec):
    """A toy."""

    name: Annotated[str | None, At("name"), Field(description="x")] = None
    mode: Annotated[str | None, At("forward/@mode"), Field(description="x")] = None
    mtu: Annotated[int | None, At("mtu/@size"), Field(description="x")] = None
    on: Annotated[bool | None, At("switch/state"), Field(description="x")] = None
    six: Annotated[str | None, At("ip[@family=ipv6]/@address"), Field(description="x")] = None
    chosen: Annotated[str | None, At("bridge/@name"), Computed(), Field(description="x")] = None


FOREIGN = """<thing uuid='u'><name>a</name><forward mode='nat' dev='eth0'><nat><port start='1' end='2'/></nat></forward>
<ip family='ipv4' address='10.0.0.1'/><x:meta xmlns:x='urn:x'><x:y z='1'>text</x:y></x:meta>
<bridge name='b' stp='on'/></thing>"""

# XML 1.0 allows neither control characters nor surrogates; our types refuse them before they get here.
texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xD7FF), min_size=1, max_size=30)
things = st.builds(
    Thing,
    name=st.none() | texts, mode=st.none() | texts, mtu=st.none() | st.integers(0, 2**31), on=st.none() | st.booleans(),
    six=st.none() | texts, chosen=st.none() | texts,
)  # fmt: skip


@given(things)
def test_write_then_read_gives_the_same(thing: Thing) -> None:
    root = parse("<thing/>")
    write_facts(Thing, root, thing)
    again = parse(text_of(root))
    assert Thing(**read_facts(Thing, again)) == thing


@given(things, things)
def test_a_patch_leaves_what_the_last_one_said_only_where_it_is_computed(first: Thing, second: Thing) -> None:
    root = parse(FOREIGN)
    write_facts(Thing, root, first)
    write_facts(Thing, root, second)
    expected = second.model_copy(update={"chosen": second.chosen or first.chosen or "b"})
    assert Thing(**read_facts(Thing, parse(text_of(root)))) == expected


@given(things)
def test_a_patch_keeps_foreign_elements_and_attributes(thing: Thing) -> None:
    root = parse(FOREIGN)
    write_facts(Thing, root, thing)
    assert root.get("uuid") == "u"
    assert value(root, "forward/@dev") == "eth0"
    assert value(root, "forward/nat/port/@end") == "2"
    assert value(root, "ip[@family=ipv4]/@address") == "10.0.0.1"
    assert root.find("{urn:x}meta/{urn:x}y").text == "text"  # type: ignore[union-attr]
    assert value(root, "bridge/@stp") == "on"


def test_writing_twice_changes_nothing() -> None:
    thing = Thing(name="a", mode="nat", mtu=1500, on=True, six="::1", chosen="x")
    once, twice = parse(FOREIGN), parse(FOREIGN)
    write_facts(Thing, once, thing)
    for _ in range(2):
        write_facts(Thing, twice, thing)
    assert same_xml(once, twice)


def test_only_some() -> None:
    root = parse(FOREIGN)
    write_facts(Thing, root, Thing(name="b", mode="route"), only={"mode"})
    assert (value(root, "name"), value(root, "forward/@mode")) == ("a", "route")


def test_an_unset_value_takes_its_empty_elements_with_it() -> None:
    root = parse("<a><b><c d='1'/></b><e>t</e></a>")
    put(root, "b/c/@d", None)
    put(root, "e", None)
    assert text_of(root) == "<a/>"
    put(root, "b/c/@d", None)
    assert text_of(root) == "<a/>"


def test_text_is_escaped() -> None:
    root = parse("<a/>")
    put(root, "b/@c", "<&\"'>")
    put(root, "d", "]]><x/>")
    assert len(root) == 2
    again = parse(text_of(root))
    assert (value(again, "b/@c"), value(again, "d")) == ("<&\"'>", "]]><x/>")


def test_small_tools() -> None:
    root = parse("<a><b n='1'/></a>")
    assert ensure(root, "b") is root[0]
    assert ensure(root, "c/d").tag == "d"
    drop(root, "c")
    drop(root, "c")
    assert sub(root, "e", "t", x="1", y=None).items() == [("x", "1")]
    assert value(root, "e") == "t"
    assert value(root, "b") == ""
    assert value(root, "zzz/@q") is None


@pytest.mark.parametrize(("text", "found"), [("yes", True), ("on", True), ("1", True), ("no", False), ("off", False)])
def test_booleans(text: str, found: bool) -> None:
    assert from_text(fields(Thing)["on"], text) is found


@pytest.mark.parametrize("text", [None, ""])
def test_an_empty_value_is_none(text: str | None) -> None:
    assert from_text(fields(Thing)["mtu"], text) is None


def test_external_entities_are_not_read() -> None:
    text = "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a><b>&x;</b></a>"
    assert "root:" not in text_of(parse(text))
    assert not value(parse(text), "b")


def test_broken_xml_is_an_error() -> None:
    with pytest.raises(etree.XMLSyntaxError):
        parse("<a>")
