"""Generates ``sdk/python`` from ``schema.json`` with Pulumi's own generator.

``python -m tools.gen_sdk [--check]``. The result depends on the schema, the version in pyproject.toml and the
generator's version only. ``--check`` writes nothing and exits with 1, naming the files, when what is committed
(schema.json included) is not what would be generated.
"""

import argparse
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "schema.json"
SDK = ROOT / "sdk" / "python"
PACKAGE = "pulumi_jvp"
# Beside the package itself only these are the generator's; anything else in the folder is left alone.
TOP_FILES = ("pyproject.toml", ".gitattributes")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.gen_sdk", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare; exit with 1 when stale")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory(prefix="jvp-sdk-") as folder:
        try:
            fresh = generate(Path(folder))
            stale = differences(fresh, SDK)
            if check and not schema_is_fresh():
                stale.insert(0, SCHEMA.name)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
            print(f"gen_sdk: could not generate: {said}", file=sys.stderr)
            return 2
        if not check:
            replace(fresh, SDK)
    if check and stale:
        print(f"generated files are stale (run `make schema`): {', '.join(stale)}", file=sys.stderr)
        return 1
    print(f"sdk/python: {f'{len(stale)} files written' if stale else 'up to date'}")
    return 0


def schema_is_fresh() -> bool:
    """Whether schema.json is what the declared resources give."""
    command = [sys.executable, "-m", "jvp.doors.pulumi.schema"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return printed == SCHEMA.read_text(encoding="utf-8")


def generate(work: Path) -> Path:
    """Run the generator in a folder of its own and return the folder with the Python project."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    schema["version"] = project["project"]["version"]
    given = work / "schema.json"
    given.write_text(json.dumps(schema), encoding="utf-8")
    # Engines of our own first, then the user's; a home of its own, so that no login or plugin cache matters.
    path = f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    env = {**os.environ, "PATH": path, "PULUMI_HOME": str(work / "home"), "PULUMI_SKIP_UPDATE_CHECK": "1"}
    command = ["pulumi", "package", "gen-sdk", str(given), "--language", "python", "--out", str(work / "out")]
    subprocess.run(
        [shutil.which("pulumi", path=path) or "pulumi", *command[1:]],
        env=env,
        cwd=work,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return work / "out" / "python"


def differences(fresh: Path, there: Path) -> list[str]:
    """Names of the generated files that are missing, different or no longer generated."""
    new, old = generated(fresh), generated(there)
    changed = [name for name in new & old if not filecmp.cmp(fresh / name, there / name, shallow=False)]
    return sorted(changed + list(new ^ old))


def generated(folder: Path) -> set[str]:
    """The files of a generated project, relative to its folder."""
    package = (path for path in (folder / PACKAGE).rglob("*") if path.is_file())
    inside = {str(path.relative_to(folder)) for path in package if "__pycache__" not in path.parts}
    return inside | {name for name in TOP_FILES if (folder / name).exists()}


def replace(fresh: Path, there: Path) -> None:
    """Put the generated files in place, without those that are generated no longer."""
    for name in generated(there) - generated(fresh):
        (there / name).unlink()
    for name in generated(fresh):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(fresh / name, there / name)


if __name__ == "__main__":
    sys.exit(main())
