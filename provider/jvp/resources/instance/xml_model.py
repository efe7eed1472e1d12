"""What a program says of the machine's XML itself, for what no property declares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from jvp.core.errors import Path
from jvp.core.facts import Changes, Effect, ForAdmins
from jvp.core.model import Rule, Spec
from jvp.core.text import shortened

VALUE_MAX, ALL_MAX = 8192, 32768


class OwnXml(Spec):
    """The property by which nobody is stuck."""

    xml: Annotated[
        dict[str, str],
        ForAdmins("writes the XML of the machine itself"),
        Changes(Effect.NEXT_BOOT),
        Field(
            description="What no property says, by its path in libvirt's XML: features/kvm/hidden/@state: on. The "
            "value is the text of an attribute or element, or a whole element, <hidden state='on'/>; an empty text "
            "takes it out. What a path no longer says goes back to what was there."
        ),
    ] = {}


def xml_rules(given: Any) -> Iterator[Rule]:
    """What is wrong with the paths and values, as far as no node is needed to tell."""
    if not isinstance(given, dict) or not given:
        return
    # It takes lxml, 20 ms of each start, and few programs speak of XML.
    from jvp.resources.instance import xml_paths

    for path, value in given.items():
        place: Path = ("xml", path)
        why = xml_paths.fault(path) or (_value_fault(path, value) if isinstance(value, str) else None)
        if why is not None:
            yield place, why
    length = sum(len(path) + len(value) for path, value in given.items() if isinstance(value, str))
    if length > ALL_MAX:
        yield ("xml",), f"is {length} characters long; at most {ALL_MAX} are allowed"


def _value_fault(path: str, value: str) -> str | None:
    from jvp.resources.instance import xml_paths

    if len(value) > VALUE_MAX:
        return f"is {len(value)} characters long; at most {VALUE_MAX} are allowed"
    if any(not one.isprintable() and one not in "\n\t" for one in value):
        return f'"{shortened(value)}" has control characters'
    steps, attribute = xml_paths.split(path)
    if attribute is not None or not value.lstrip().startswith("<"):
        return None
    try:
        element = xml_paths.fragment(value)
    except ValueError as error:
        return str(error)
    name = steps[-1][0]
    return None if element.tag == xml_paths.tag(name) else f"has to be an element {name}, as the path says"
