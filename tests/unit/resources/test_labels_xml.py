"""The description and the tags of an instance in its definition."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.unit.resources.test_instance_xml import FOREIGN, made, resolved_of, spec_of

from jvp.core.declaration import Declaration
from jvp.core.diff import Change, Kind
from jvp.core.facts import Effect
from jvp.core.identity import DeclaredBy, Key, Mark
from jvp.libvirt.domain import metadata
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import parse, put, text_of, value
from jvp.resources.instance import labels
from jvp.resources.instance.patching import patch, take_out

pytestmark = pytest.mark.unit
KEY = Key("me", "instance", "a", declared_by=DeclaredBy("cli", "x" * 200, "y" * 400))
RAW = {"name": "web", "rootDisk": {"pool": "p", "size": "1GiB"}, "tags": {"team": "web", "über": 'a "&" b'}}


def marked(raw: dict[str, Any], declaration: Declaration | None = None) -> Any:
    """An instance of ours, with its mark."""
    spec = spec_of(raw)
    root = made(spec)
    put(root, "uuid", KEY.uuid(0))
    marks.put(root, marks.element_of(Mark.new(KEY, 0, declaration), labels.fact(spec)))
    return root


def test_tags_stand_in_the_mark_and_a_copy_of_a_machine_has_none() -> None:
    root = parse(text_of(marked(RAW)))
    assert labels.tags_of(root) == RAW["tags"]
    assert labels.told(root) == {"description": None, **labels.wanted(spec_of(RAW))}
    put(root, "uuid", KEY.uuid(1))
    assert labels.tags_of(root) == {}
    assert labels.tags_of(parse(FOREIGN)) == {}
    labels.note(parse(FOREIGN), spec_of(RAW))  # where there is no mark nothing is noted


def test_the_most_that_can_be_declared_leaves_the_mark_short_enough() -> None:
    full = {f"t{number}": '"' * 200 for number in range(6)}
    names = Declaration(tuple((f"name{number:05}",) for number in range(1500)))
    root = marked({**RAW, "tags": full}, names)
    element = marks.find(root)
    assert element is not None
    assert len(text_of(element).encode()) <= marks.MOST
    assert labels.tags_of(root) == full


def test_a_mark_without_its_namespace_says_the_same() -> None:
    root = marked(RAW, Declaration((("memory",),)))
    element = marks.find(root)
    assert element is not None
    before, text = text_of(root), metadata.plain(element)
    assert "xmlns" not in text
    assert "jvp:" not in text
    assert text_of(root) == before
    again = copy.deepcopy(parse(text))
    for one in again.iter():
        one.tag = f"{{{marks.NAMESPACE}}}{one.tag}"
    assert marks.parsed(again) == marks.parsed(element)
    assert again.get("tags") == element.get("tags")


def test_a_description_is_written_where_it_is_declared_and_taken_out_where_it_was() -> None:
    root, bare = parse(FOREIGN), spec_of({key: one for key, one in RAW.items() if key != "tags"})
    put(root, "description", "theirs")
    patch(root, "old", bare, resolved_of(bare))
    assert (value(root, "description"), value(root, "title")) == ("theirs", "T")
    said = spec_of({**RAW, "description": "ours\nand more"})
    patch(root, "old", said, resolved_of(said))
    assert value(parse(text_of(root)), "description") == "ours\nand more"
    take_out(root, bare, [Change(("description",), Kind.DELETE, Effect.LIVE, "ours\nand more", None)])
    assert root.find("description") is None
    assert value(root, "title") == "T"


def test_a_strangers_text_that_a_state_shows_without_its_colours_stays_as_it_is() -> None:
    root, shown = parse(FOREIGN), spec_of({**RAW, "description": r"a <\x7b%red%}> word"})
    put(root, "description", "a <{%red%}> word")
    patch(root, "old", shown, resolved_of(shown))
    assert value(root, "description") == "a <{%red%}> word"
