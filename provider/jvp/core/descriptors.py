"""The files of a descriptor set, each as it is added to a pool.

protobuf's own `descriptor_pb2` reads a set too, and takes 9 ms to import, at each start of a plugin.
"""

from __future__ import annotations

from collections.abc import Iterator

_FILE = 0x0A
"""The tag of `FileDescriptorSet.file`: field 1, with a length. Source: protobuf, encoding, and `descriptor.proto`."""


def files_in(data: bytes) -> Iterator[bytes]:
    """Each `FileDescriptorProto` of a `FileDescriptorSet`, unread. Raises ValueError for what is none."""
    at = 0
    while at < len(data):
        if data[at] != _FILE:
            raise ValueError("this is no set of descriptors")
        length, at = _number(data, at + 1)
        yield data[at : at + length]
        at += length


def _number(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, seven bits in a byte, and where it ends."""
    number = shift = 0
    while data[at] & 0x80:
        number |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return number | data[at] << shift, at + 1
