"""A root module of one test in a folder of its own, the real OpenTofu or Terraform, and what its commands said.

The provider is started by the launcher that users have installed, through `dev_overrides`: no registry is asked.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from engine_stack import search_path
from tests import extent
from tools.setup import tofu

from jvp.doors.cli.terraformmirror import LAUNCHER
from jvp.warm.launcher import SCRIPT

SOURCE = "jvp.internal/jvp/jvp"
"""The provider's address. Its host exists nowhere: no registry can be asked for it."""
PROGRAM = "terraform-provider-jvp"
PLAN = "plan.bin"
COMPLAINT = re.compile(
    r"produced (an )?(inconsistent|invalid|unexpected)|unexpected new value|legacy (plugin )?SDK", re.I
)
"""How the host says that a provider broke a promise: as an error, or only as a warning in its log."""
DRIFT = re.compile(r"unexpected new value for .* during refresh")
"""Among them the one that is no fault where something changed meanwhile."""
CHANGES = 2
"""The exit code of a plan that has something to do."""


@cache
def programs() -> dict[str, Path]:
    """OpenTofu and Terraform by their commands' names, as far as they are there and new enough."""
    return {program.name: program for program in tofu.find(search_path())}


def drawn(test: str) -> list[str]:
    """The programs that try a long test of this name: one of them, and each in `make test-all`."""
    return extent.sample(sorted(programs()), f"program {test}", share=0.5, least=1)


def missing() -> str | None:
    """What a test under the real program needs and is not there."""
    return None if programs() else "no tofu and no terraform on PATH or in .tools/bin: `make setup` builds one"


def complaints(log: Path, *errors: str, drift: bool) -> list[str]:
    """What the host said against the provider in its log, or in these errors."""
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    # An entry of the log may have more lines, with the attributes in question.
    entries = [*re.split(r"^(?=\d{4}-\d\d-\d\dT)", said, flags=re.MULTILINE), *errors]
    return [one for one in entries if COMPLAINT.search(one) and not (drift and DRIFT.search(one))]


@dataclass(frozen=True)
class Run:
    """One command that has ended."""

    words: tuple[str, ...]
    code: int
    text: str
    """Standard output and error, as printed."""
    seconds: float

    def __repr__(self) -> str:
        return f"{' '.join(self.words)} -> {self.code} after {self.seconds:.1f} s\n{self.text}"

    @property
    def errors(self) -> str:
        """What was said as errors, one in a line: the program breaks its sentences anywhere."""
        blocks = re.split(r"^(?=Error: |Warning: )", self.text, flags=re.MULTILINE)
        return "\n".join(" ".join(block.split()) for block in blocks if block.startswith("Error: "))


class Tofu:
    """A root module with its state; nothing of it is shared with the user or another test."""

    def __init__(
        self,
        folder: Path,
        names: dict[str, Any],
        program: str | None = None,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        self.folder, self.names, self._after = folder, names, after
        self.program = programs()[program] if program else next(iter(programs().values()))
        self.module = folder / "module"
        self.host_log = folder / "host.log"
        self.given: dict[str, Any] = {}
        """The values of the module's variables."""
        self.runs: list[Run] = []
        data = folder / "home" / ".local" / "share"
        for part in (self.module, data / "jvp", folder / "bin"):
            part.mkdir(parents=True)
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TF_")},
            "XDG_DATA_HOME": str(data),
            "PATH": search_path(),
            "HOME": str(folder / "home"),
            "TF_CLI_CONFIG_FILE": str(folder / "cli.tfrc"),
            "TF_DATA_DIR": str(folder / "data"),
            "TF_INPUT": "0",
            "TF_IN_AUTOMATION": "1",
            "TF_LOG": "trace",
            "TF_LOG_PATH": str(self.host_log),
            "CHECKPOINT_DISABLE": "1",
        }
        # What `jvp terraform install` writes, where an override is looked for.
        (data / "jvp" / "python").write_text(f"{sys.executable}\n{SCRIPT}\n", encoding="utf-8")
        self.override(folder / "bin", LAUNCHER)
        self._declare("terraform.tf.json", {"terraform": {"required_providers": {"jvp": {"source": SOURCE}}}})

    def override(self, folder: Path, script: str) -> None:
        """The provider is what this script starts."""
        launcher = folder / PROGRAM
        launcher.write_text(script, encoding="utf-8")
        launcher.chmod(0o755)
        text = f'provider_installation {{\n  dev_overrides {{\n    "{SOURCE}" = "{folder}"\n  }}\n}}\n'
        Path(self.env["TF_CLI_CONFIG_FILE"]).write_text(text, encoding="utf-8")

    def _declare(self, name: str, content: dict[str, Any]) -> None:
        (self.module / name).write_text(json.dumps(content), encoding="utf-8")

    def write(self, snippet: str, **values: Any) -> None:
        """The configuration: the snippet, with the test's names and these values as locals (`local.P`)."""
        self._declare("names.tf.json", {"locals": {**self.names, **values}})
        (self.module / "main.tf").write_text(textwrap.dedent(snippet), encoding="utf-8")

    def example(self, folder: Path) -> None:
        """The configuration: an example's, which names its providers itself."""
        (self.module / "terraform.tf.json").unlink()
        shutil.copytree(folder, self.module, dirs_exist_ok=True)

    # Commands

    def __call__(self, *words: str, ok: bool | None = True, timeout_s: float = 240) -> Run:
        """Run a command. `ok`: whether it must succeed, must fail, or (None) may do either."""
        if self.given:
            (self.module / "given.auto.tfvars.json").write_text(json.dumps(self.given), encoding="utf-8")
        start = time.monotonic()
        done = subprocess.run(
            [self.program, *words],
            cwd=self.module,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        run = Run((self.program.name, *words), done.returncode, done.stdout, time.monotonic() - start)
        self.runs.append(run)
        self._after()
        print(f"{run.seconds:5.1f} s  {' '.join(run.words)} -> {run.code}", flush=True)
        good = run.code == 0 or ("-detailed-exitcode" in words and run.code == CHANGES)
        assert ok is None or good == ok, run
        return run

    def init(self, *words: str, ok: bool | None = True) -> Run:
        """For modules and backends alone. A provider that is overridden needs none: where one is required, it fails."""
        return self("init", "-no-color", *words, ok=ok)

    def plan(self, *words: str, ok: bool | None = True) -> Run:
        """A plan, kept for `apply(PLAN)` and `changes`; its exit code is 0, or CHANGES if there is something to do."""
        return self("plan", "-no-color", "-detailed-exitcode", f"-out={PLAN}", *words, ok=ok)

    def apply(self, *words: str, ok: bool | None = True, timeout_s: float = 240) -> Run:
        """Plan and apply, or apply what `plan` kept."""
        return self("apply", "-no-color", "-auto-approve", *words, ok=ok, timeout_s=timeout_s)

    def destroy(self, *words: str, ok: bool | None = True) -> Run:
        return self("destroy", "-no-color", "-auto-approve", *words, ok=ok)

    def import_(self, address: str, name: str, *, ok: bool | None = True) -> Run:
        return self("import", "-no-color", address, name, ok=ok)

    def settle(self) -> None:
        """The next plan has nothing to do."""
        run = self.plan()
        assert run.code == 0, run

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command that a test interrupts: in a process group of its own, as a shell would have it."""
        # A test runner in the background hands down an ignored SIGINT; a shell in a terminal does not.
        return subprocess.Popen(
            [self.program, *words],
            cwd=self.module,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
        )

    # What is known afterwards

    def show(self, *words: str) -> dict[str, Any]:
        """`show -json` of the state, or of the kept plan with `show(PLAN)`."""
        # A warning about the override would stand on standard error, among the JSON.
        text = self("show", "-json", *words).text
        return dict(json.loads(text[text.index("{") :]))

    def changes(self) -> dict[str, list[str]]:
        """What the kept plan does, by address: `{"jvp_network.lan": ["update"]}`. Empty when nothing changes."""
        found = {one["address"]: one["change"]["actions"] for one in self.show(PLAN).get("resource_changes", [])}
        return {address: actions for address, actions in found.items() if actions not in (["no-op"], ["read"])}

    def state(self) -> dict[str, dict[str, Any]]:
        """The attributes in the state by address, as the file keeps them: no provider is started for that."""
        if not self.state_file.exists():
            return {}
        found: dict[str, dict[str, Any]] = {}
        for one in json.loads(self.state_file.read_text(encoding="utf-8"))["resources"]:
            begin = [one["module"]] if "module" in one else []
            data = ["data"] if one["mode"] == "data" else []
            for instance in one["instances"]:
                key = f"[{json.dumps(instance['index_key'])}]" if "index_key" in instance else ""
                found[".".join([*begin, *data, one["type"], one["name"]]) + key] = instance["attributes"]
        return found

    def outputs(self) -> dict[str, Any]:
        """The module's outputs, those that are sensitive too."""
        kept = json.loads(self.state_file.read_text(encoding="utf-8"))["outputs"] if self.state_file.exists() else {}
        return {name: one["value"] for name, one in kept.items()}

    @property
    def state_file(self) -> Path:
        return self.module / "terraform.tfstate"

    def complaints(self, *, drift: bool = False) -> list[str]:
        """What the host said against the provider; with `drift`, that a refresh found a change is none."""
        errors = [line for run in self.runs for line in run.errors.splitlines()]
        return complaints(self.host_log, *errors, drift=drift)

    def assert_no_complaints(self, *, drift: bool = False) -> None:
        """No promise that the host checks was broken, not even one that it only warns about in its log."""
        found = self.complaints(drift=drift)
        assert not found, "\n".join(found)
