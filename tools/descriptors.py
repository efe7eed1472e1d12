"""Writes ``provider/jvp/doors/pulumi/protocol.binpb``: the messages and services of Pulumi's plugin protocol.

``python -m tools.descriptors [--check]``. They are taken from the descriptors that the installed ``pulumi`` package
ships, so no compiler is needed, and the provider reads them without importing that package. ``--check`` writes
nothing and exits with 1 when the file differs. Written again when the provider wants a newer part of the protocol.
"""

import argparse
import importlib
import sys
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

TARGET = Path(__file__).resolve().parents[1] / "provider" / "jvp" / "doors" / "pulumi" / "protocol.binpb"
MODULES = ("provider", "engine", "errors", "plugin", "status")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.descriptors", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare; exit with 1 when stale")
    check = parser.parse_args().check
    fresh = descriptors().SerializeToString(deterministic=True)
    same = TARGET.exists() and TARGET.read_bytes() == fresh
    if check and not same:
        print(f"{TARGET.name} is not what the installed pulumi package gives", file=sys.stderr)
        return 1
    if not same:
        TARGET.write_bytes(fresh)
    print(f"{TARGET.name}: {'up to date' if same else f'{len(fresh)} bytes written'}")
    return 0


def descriptors() -> FileDescriptorSet:
    """Every file that MODULES need, each after those it imports."""
    ordered: dict[str, FileDescriptorProto] = {}
    for name in MODULES:
        _add(importlib.import_module(f"pulumi.runtime.proto.{name}_pb2").DESCRIPTOR, ordered)
    return FileDescriptorSet(file=ordered.values())


def _add(file: FileDescriptor, ordered: dict[str, FileDescriptorProto]) -> None:
    if file.name in ordered:
        return
    for dependency in file.dependencies:
        _add(dependency, ordered)
    proto = FileDescriptorProto()
    file.CopyToProto(proto)
    proto.ClearField("options")  # names of packages in other languages
    ordered[file.name] = proto


if __name__ == "__main__":
    sys.exit(main())
