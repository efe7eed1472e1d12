"""A user's home in which the provider is installed for OpenTofu as a user installs it, and root modules in folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from engine_stack import search_path
from tofu_stack import SOURCE, complaints, missing, programs

REQUIRED = f"""\
terraform {{
  required_providers {{
    jvp = {{
      source = "{SOURCE}"
    }}
  }}
}}
"""


class TofuHome:
    """A home with nothing of this machine's user in it. Skips the test where there is no program to try."""

    def __init__(self, folder: Path, *, python_path: str | None = None) -> None:
        if (why := missing()) is not None:
            pytest.skip(why)
        self.folder = folder
        folder.mkdir(parents=True)
        ours = ("TF_", "XDG_", "JVP_", "PYTHONPATH")
        kept = ("XDG_RUNTIME_DIR", "JVP_WARM")
        self.env = {
            **{name: value for name, value in os.environ.items() if name in kept or not name.startswith(ours)},
            "PATH": search_path(),
            "HOME": str(folder),
            "CHECKPOINT_DISABLE": "1",
            "TF_INPUT": "0",
            "TF_IN_AUTOMATION": "1",
            "TF_LOG": "trace",
            "TF_LOG_PATH": str(folder / "host.log"),
        }
        if python_path:
            self.env["PYTHONPATH"] = python_path

    @property
    def mirror(self) -> Path:
        return self.folder / ".local" / "share" / "jvp" / "terraform" / "mirror"

    def install(self, *command: str | Path) -> str:
        """`jvp terraform install --write` by this command, else by the interpreter of the tests."""
        return self.run(*(command or (sys.executable, "-m", "jvp.doors.cli.main")), "terraform", "install", "--write")

    def run(self, *words: str | Path, folder: Path | None = None, codes: tuple[int, ...] = (0,)) -> str:
        """A command that must end with one of these codes; what it printed."""
        done = subprocess.run(
            [*map(str, words)],
            cwd=folder or self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode in codes, f"{words} -> {done.returncode}\n{done.stdout}"
        return done.stdout

    def tofu(self, folder: Path, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        """A command of OpenTofu, else of Terraform, in a root module; it has nothing to say against the provider."""
        program = next(iter(programs().values()))
        said = self.run(program, words[0], "-no-color", *words[1:], folder=folder, codes=codes)
        log = self.folder / "host.log"
        assert log.stat().st_size > 0
        found = complaints(log, drift=True)
        assert not found, "\n".join(found)
        return said


def hashes(folder: Path) -> str:
    """What the lock file of a root module says."""
    return (folder / ".terraform.lock.hcl").read_text(encoding="utf-8")
