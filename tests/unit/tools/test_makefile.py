"""`make` in a fresh checkout: what a target needs is made first."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SETUP = """
import pathlib, sys
print("setup", *sys.argv[1:], flush=True)
for name in ("python", "pyproject-build"):
    made = pathlib.Path(".venv/bin", name)
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text('#!/bin/sh\\necho "$@"\\n')
    made.chmod(0o755)
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_dist_makes_the_environment_where_there_is_none(tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    (tmp_path / "tools" / "setup").mkdir(parents=True)
    (tmp_path / "tools" / "setup" / "__main__.py").write_text(SETUP, encoding="utf-8")
    # Nothing may lead to the real setup, which would work on this checkout.
    (tmp_path / "tools" / "__init__.py").touch()
    (tmp_path / "tools" / "setup" / "__init__.py").touch()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("MAKE")}

    def dist() -> list[str]:
        done = subprocess.run(["make", "dist"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    assert dist() == ["setup check packages venv", "-m build --outdir dist ."]
    assert dist() == ["-m build --outdir dist ."]
