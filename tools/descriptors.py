"""Writes the messages and services of the engines' plugin protocols: ``provider/jvp/doors/*/protocol.binpb``.

``python -m tools.descriptors [--check]``. Pulumi's are taken from the descriptors that the installed ``pulumi`` package
ships; the provider reads them without importing that package. Terraform's are compiled from the ``.proto`` files beside
them. ``--check`` writes nothing and exits with 1 when a file differs.
"""

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

DOORS = Path(__file__).resolve().parents[1] / "provider" / "jvp" / "doors"
MODULES = ("provider", "engine", "errors", "plugin", "status")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.descriptors", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare; exit with 1 when stale")
    check = parser.parse_args().check
    fresh = {"pulumi": pulumi(), "terraform": terraform()}
    return max(_written(door, files.SerializeToString(deterministic=True), check) for door, files in fresh.items())


def _written(door: str, fresh: bytes, check: bool) -> int:
    target = DOORS / door / "protocol.binpb"
    same = target.exists() and target.read_bytes() == fresh
    if check and not same:
        print(f"{target.relative_to(DOORS)} is not what its sources give", file=sys.stderr)
        return 1
    if not same:
        target.write_bytes(fresh)
    print(f"{target.relative_to(DOORS)}: {'up to date' if same else f'{len(fresh)} bytes written'}")
    return 0


def pulumi() -> FileDescriptorSet:
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


def terraform() -> FileDescriptorSet:
    """What the compiler makes of our own description of the protocol."""
    from grpc_tools import protoc

    source = DOORS / "terraform"
    with tempfile.NamedTemporaryFile(suffix=".binpb") as made:
        files = sorted(path.name for path in source.glob("*.proto"))
        if protoc.main(["protoc", f"-I{source}", f"--descriptor_set_out={made.name}", *files]):
            raise SystemExit("the .proto files cannot be compiled")
        return FileDescriptorSet.FromString(Path(made.name).read_bytes())


if __name__ == "__main__":
    sys.exit(main())
