"""Golden XML: what we would define, line by line.

`JVP_GOLDEN=write pytest tests/unit/resources` writes the files anew: look at the diff.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lxml import etree

from jvp.libvirt.link.xml import parse, same_xml

HERE = Path(__file__).parent


def same_as_golden(name: str, root: Any) -> None:
    """Assert that `root` says what the file says."""
    path = HERE / f"{name}.xml"
    etree.indent(root)
    shown = etree.tostring(root, encoding="unicode") + "\n"
    if os.environ.get("JVP_GOLDEN") == "write":
        path.write_text(shown)
    assert path.exists(), f"{path.name} is missing; JVP_GOLDEN=write makes it"
    wanted = path.read_text()
    assert same_xml(parse(shown), parse(wanted)), f"{path.name} says otherwise:\n{shown}"
