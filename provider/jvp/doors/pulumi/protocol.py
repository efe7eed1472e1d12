"""Pulumi's plugin protocol as message classes, made from a descriptor set in a pool of our own.

Two copies of these files in protobuf's default pool raise; this provider may be loaded beside the `pulumi` package,
so its copy is private. The classes are made at run time and cannot be typed: `Message` is where typing ends.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory

from jvp.core.descriptors import files_in

Message = Any
"""A message of the protocol."""

PROVIDER = "pulumirpc.ResourceProvider"
ENGINE = "pulumirpc.Engine"


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in files_in(Path(__file__).with_name("protocol.binpb").read_bytes()):
        pool.AddSerializedFile(file)
    return pool


_POOL = _pool()


@cache
def message(name: str) -> Any:
    """The class of a message by its full name, or by its name in `pulumirpc`."""
    full = name if "." in name and name.startswith(("pulumirpc.", "google.")) else f"pulumirpc.{name}"
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(full))


def methods(service: str) -> list[Any]:
    """The method descriptors of a service."""
    return list(_POOL.FindServiceByName(service).methods)


Empty = message("google.protobuf.Empty")
Struct = message("google.protobuf.Struct")
RpcStatus = message("google.rpc.Status")

ADD, ADD_REPLACE, DELETE, DELETE_REPLACE, UPDATE, UPDATE_REPLACE = range(6)
"""`PropertyDiff.Kind`."""
DIFF_NONE, DIFF_SOME = 1, 2
"""`DiffResponse.DiffChanges`. (0, unknown, makes the engine compare by itself.)"""
PROPOSE, ENFORCE, DISABLE = range(3)
"""`CheckRequest.AutonamingOptions.Mode`."""
INFO, WARNING = 1, 2
"""`LogSeverity`."""
