"""Values as HCL: no text of an object is taken for a template, and the layout is that of `tofu fmt`."""

from __future__ import annotations

from typing import Any

import pytest

from jvp.doors.terraform.hcl import Expression, block, quoted


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("plain", '"plain"'),
        ('say "hi"\\', '"say \\"hi\\"\\\\"'),
        ("${var.secret}", '"$${var.secret}"'),
        ("%{ if true }", '"%%{ if true }"'),
        ("$$${x}", '"$$$${x}"'),
        ("two\nlines\ttab", '"two\\nlines\\ttab"'),
        ("naïve 日本", '"naïve 日本"'),
    ],
)
def test_a_text_is_a_literal(text: str, literal: str) -> None:
    assert quoted(text) == literal


def test_a_block_is_laid_out_as_fmt_does() -> None:
    attributes: dict[str, Any] = {
        "name": "web",
        "memory": "1GiB",
        "unset": None,
        "network": Expression("jvp_network.lan.id"),
        "autostart": True,
        "disks": [],
        "nics": [{"name": "a" * 40, "mac": "52:54:00:00:00:01", "model": None}, {"name": "b" * 40, "mac": None}],
        "tags": {"a key": 1},
    }
    assert block('resource "jvp_instance" "web"', attributes) == (
        'resource "jvp_instance" "web" {\n'
        '  name      = "web"\n'
        '  memory    = "1GiB"\n'
        "  network   = jvp_network.lan.id\n"
        "  autostart = true\n"
        "  disks     = []\n"
        "  nics = [\n"
        f'    {{ name = "{"a" * 40}", mac = "52:54:00:00:00:01" }},\n'
        f'    {{ name = "{"b" * 40}" }},\n'
        "  ]\n"
        '  tags = { "a key" = 1 }\n'
        "}\n"
    )


def test_a_long_object_stands_on_lines_of_its_own() -> None:
    text = block("a", {"x": {"first": "1" * 60, "other_one": "2" * 60}})
    assert text == f'a {{\n  x = {{\n    first     = "{"1" * 60}"\n    other_one = "{"2" * 60}"\n  }}\n}}\n'
