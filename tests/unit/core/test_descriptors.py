"""A descriptor set is taken apart as protobuf takes it apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

import jvp
from jvp.core.descriptors import files_in

SETS = sorted((Path(jvp.__file__).parent / "doors").glob("*/protocol.binpb"))


@pytest.mark.parametrize("file", SETS, ids=lambda file: file.parent.name)
def test_the_files_are_those_of_the_set(file: Path) -> None:
    data = file.read_bytes()
    files = FileDescriptorSet.FromString(data).file
    assert [*files_in(data)] == [one.SerializeToString() for one in files] != []


def test_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="no set of descriptors"):
        list(files_in(b"\x12\x00"))
