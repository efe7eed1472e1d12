"""`jvp template search`: well-known cloud images, as a table or as what can be pasted to make a template of one."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from typing import Any

from jvp.doors.cli import exits, output, session
from jvp.doors.cli.late import Parser

FORMATS = ("create", "hcl")
"""Forms that no other list has: commands for a shell, and blocks of HCL."""
_COLUMNS = ("name", "os", "architecture", "title", "note")
_HCL = "jvp.doors.terraform.hcl"
"""Imported when it is asked for: doors do not know each other."""


def fill(parser: Parser) -> None:
    """Add what the command takes."""
    parser.add_argument("words", nargs="*", metavar="WORD", help="words of the name or title; all images without one")
    parser.add_argument("--architecture", metavar="NAME", help="only those for these processors: x86_64, aarch64")
    about = "a YAML or JSON file of further images, which go before those known by name; by default $JVP_IMAGE_LIST"
    parser.add_argument("--list", metavar="FILE", help=about)
    parser.add_argument("--pool", default="images", help="the storage pool that create and hcl name, by default images")
    output.add_to(parser, FORMATS)
    session.add_to(parser)  # for what is printed: the node that the commands are for
    parser.set_defaults(run=lambda parsed: exits.ending(lambda: search(parsed)))


def search(parsed: argparse.Namespace) -> int:
    """What the list has. Neither a node nor the network is asked."""
    from jvp.resources.storage import catalogue

    format = output.chosen(parsed, FORMATS)
    images = [image.bag() for image in catalogue.found(" ".join(parsed.words), parsed.architecture, parsed.list)]
    if format in ("json", "yaml"):
        output.structured({"images": images}, format)
    elif format == "hcl":
        print("\n".join(_block(image, parsed.pool) for image in images), end="")
    elif format in ("name", "create"):
        for image in images:
            print(image["name"] if format == "name" else _command(image, parsed))
    else:
        there = [name for name in _COLUMNS if any(image.get(name) for image in images)]
        output.table([*there, *(("url", "checksum") if format == "wide" else ())], images)
    return exits.DONE


def _source(image: dict[str, Any]) -> dict[str, str]:
    return {name: image[name] for name in ("url", "checksum") if image.get(name)}


def _command(image: dict[str, Any], parsed: argparse.Namespace) -> str:
    pairs = _source(image)
    text = ",".join(f"{name}={value}" for name, value in pairs.items())
    if any("," in value for value in pairs.values()):
        import json

        text = json.dumps(pairs)  # YAML in braces: a comma ends no value there
    words = ["jvp", "template", "create", f"{parsed.pool}/{image['name']}", "--source", text]
    words += ["--os", image["os"]] if image.get("os") else []
    return shlex.join([*words, "--uri", parsed.uri] if parsed.uri else words)


def _block(image: dict[str, Any], pool: str) -> str:
    label = re.sub(r"\W", "_", image["name"])
    attributes = {"name": image["name"], "pool": pool, "os": image.get("os"), "source": _source(image)}
    head = f'resource "jvp_template" "{label if label[0].isalpha() else f"_{label}"}"'
    return str(importlib.import_module(_HCL).block(head, attributes))
