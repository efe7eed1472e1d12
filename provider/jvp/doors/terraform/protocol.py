"""Terraform's provider protocol as message classes, made from a descriptor set in a pool of our own.

The set is made from `protocol.proto` and `goplugin.proto` by `python -m tools.descriptors`. The classes are made at run
time and cannot be typed: `Message` is where typing ends.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory

from jvp.core.descriptors import files_in

Message = Any
"""A message of the protocol."""

PROVIDER = "tfplugin6.Provider"
CONTROLLER = "plugin.GRPCController"
STDIO = "plugin.GRPCStdio"
VERSION = 6


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in files_in(Path(__file__).with_name("protocol.binpb").read_bytes()):
        pool.AddSerializedFile(file)
    return pool


_POOL = _pool()


@cache
def message(name: str) -> Any:
    """The class of a message by its name in `tfplugin6`, or by its full name."""
    full = name if name.startswith(("plugin.", "tfplugin6.")) else f"tfplugin6.{name}"
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(full))


def methods(service: str) -> list[Any]:
    """The method descriptors of a service."""
    return list(_POOL.FindServiceByName(service).methods)


Diagnostic = message("Diagnostic")
AttributePath = message("AttributePath")
DynamicValue = message("DynamicValue")
Schema = message("Schema")
Attribute = message("Schema.Attribute")
Object = message("Schema.Object")

ERROR, WARNING = 1, 2
"""`Diagnostic.Severity`."""
MARKDOWN = 1
"""`StringKind`."""
SINGLE, LIST, MAP = 1, 2, 4
"""`Schema.Object.NestingMode`."""
