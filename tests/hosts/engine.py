"""A stack of the real Pulumi CLI in a folder of its own, run as anybody and anywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("program.py")
LIMIT_S = 240.0

Resources = Mapping[str, tuple[str, Mapping[str, Any]]]
"""Kind and properties by the resource's name, in the order of their references."""


@dataclass(frozen=True)
class Run:
    """What one command of the CLI did."""

    code: int
    text: str
    seconds: float

    def errors(self, name: str) -> list[str]:
        """What the CLI says at its end about the resource of this name: one line for each error."""
        block = self.text.rpartition("\nDiagnostics:\n")[2].rpartition(f" ({name}):\n")[2].partition("\n\n")[0]
        return [line.strip().removeprefix("error: ") for line in block.splitlines()]

    def expect(self) -> Run:
        assert self.code == 0, f"exit code {self.code}:\n{self.text}"
        return self

    def fails(self) -> Run:
        assert self.code != 0, f"no error:\n{self.text}"
        return self


def missing() -> str | None:
    """Why the engine cannot be run here, None when it can."""
    absent = [tool for tool in ("pulumi", "pulumi-language-python") if shutil.which(tool, path=_path()) is None]
    return f"needs {' and '.join(absent)} (make setup)" if absent else None


class Stack:
    """One stack. `wrap` puts a command into a namespace and another user's hands."""

    def __init__(
        self,
        folder: Path,
        uri: str | None,
        *,
        environment: Mapping[str, str] | None = None,
        wrap: Callable[[list[str], Path], list[str]] | None = None,
        owner: int | None = None,
        project: str = "trial",
    ) -> None:
        self.folder, self._wrap = folder / "program", wrap
        self._checkpoint = folder / "state/.pulumi/stacks" / project / "dev.json"
        self.folder.mkdir(parents=True)
        (folder / "state").mkdir()
        (folder / "home").mkdir()
        shutil.copy(PROGRAM, self.folder / "__main__.py")
        runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
        (self.folder / "Pulumi.yaml").write_text(json.dumps({"name": project, "runtime": runtime}))
        (self.folder / "resources.json").write_text("{}")
        config = {"config": {"jvp:virtType": "qemu", **({"jvp:uri": uri} if uri else {})}}
        (self.folder / "Pulumi.dev.yaml").write_text(json.dumps(config))
        if owner is not None:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, owner, owner)
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(("PULUMI_", "LIBVIRT_"))},
            "PATH": _path(),
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
            **(environment or {}),
        }
        self("stack", "init", "dev").expect()

    def declare(self, resources: Resources) -> Stack:
        """Write the program."""
        (self.folder / "resources.json").write_text(json.dumps(resources))
        return self

    def __call__(self, *arguments: str, **environment: str) -> Run:
        """Run one command, not asking anything."""
        start = time.monotonic()
        done = subprocess.run(
            self._command(arguments),
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
        )
        return Run(done.returncode, done.stdout, time.monotonic() - start)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start one command, in a process group of its own."""
        return subprocess.Popen(
            self._command(arguments),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _command(self, arguments: Sequence[str]) -> list[str]:
        argv = [str(shutil.which("pulumi", path=_path())), "--non-interactive", *arguments]
        return self._wrap(argv, self.folder) if self._wrap else argv

    def up(self, *more: str, **environment: str) -> Run:
        return self("up", "--yes", "--skip-preview", "--stack", "dev", *more, **environment)

    def preview(self, *more: str, **environment: str) -> Run:
        return self("preview", "--stack", "dev", *more, **environment)

    def destroy(self, *more: str, **environment: str) -> Run:
        return self("destroy", "--yes", "--skip-preview", "--stack", "dev", *more, **environment)

    def settled(self) -> Run:
        """A preview that finds nothing to do."""
        return self.preview("--expect-no-changes").expect()

    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources in the state, by their names."""
        checkpoint = json.loads(self._checkpoint.read_text())["checkpoint"]
        found = (checkpoint.get("latest") or {}).get("resources") or []
        return {one["urn"].split("::", 3)[3]: one for one in found if one["type"].startswith("jvp:")}


def _path() -> str:
    return os.pathsep.join([str(ROOT / ".tools/bin"), str(Path(sys.prefix) / "bin"), os.environ.get("PATH", "")])
