"""Writes the schemas that a plugin answers with, from the declared resources: a start of it waits for no models then.

``python -m tools.gen_schemas [--check]``. Pulumi's is the text of ``schema.json``, Terraform's the answer to its call.
``--check`` writes nothing and exits with 1, naming the files, when what is committed is not what would be written.
"""

import argparse
import sys
from pathlib import Path

from jvp.doors.pulumi import schema as pulumi
from jvp.doors.pulumi.plugin import SCHEMA
from jvp.doors.terraform import schema as terraform
from jvp.doors.terraform import schemas
from jvp.resources import registry

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.gen_schemas", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare; exit with 1 when stale")
    check = parser.parse_args().check
    stale = [file for file, content in fresh().items() if not file.exists() or file.read_bytes() != content]
    names = ", ".join(str(file.relative_to(ROOT)) for file in stale)
    if check and stale:
        print(f"generated files are stale (run `make schema`): {names}", file=sys.stderr)
        return 1
    for file in stale:
        file.write_bytes(fresh()[file])
    print(f"schemas: {f'{names} written' if stale else 'up to date'}")
    return 0


def fresh() -> dict[Path, bytes]:
    """What the declared resources give, by file."""
    whole = terraform.whole(registry.RESOURCES.values(), registry.FUNCTIONS.values())
    return {
        SCHEMA: pulumi.text(registry.RESOURCES.values(), registry.FUNCTIONS.values()).encode(),
        schemas.FILE: whole.SerializeToString(deterministic=True),
    }


if __name__ == "__main__":
    sys.exit(main())
