"""A Pulumi stack of one test: a program made of a snippet, the real CLI, and what its commands reported.

A command's report comes from the engine's event log, so that no test reads it out of the display.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VENV = Path(sys.prefix)
NEEDED = ("pulumi", "pulumi-language-python")
PLUGIN = "pulumi-resource-jvp"
OURS = ("jvp:", "pulumi-python:dynamic/jvp:")
"""What the types of our resources begin with, in the plugin and in the dynamic form."""
QUIET = ("same", "refresh", "read", "discard")
"""Operations that change nothing."""


def search_path() -> str:
    """Where engines are looked for: what the user has, then what the setup built."""
    return os.pathsep.join([os.environ.get("PATH", ""), str(ROOT / ".tools" / "bin")])


def without_plugin(path: str) -> str:
    """A search path on which the engine finds no provider of ours."""
    return os.pathsep.join(part for part in path.split(os.pathsep) if not Path(part, PLUGIN).exists())


def missing() -> str | None:
    """What a test under the real CLI needs and is not there."""
    gone = [name for name in NEEDED if shutil.which(name, path=search_path()) is None]
    if gone:
        return f"no {' and no '.join(gone)} on PATH or in .tools/bin: `make setup` builds them"
    if not (VENV / "bin" / PLUGIN).exists():
        return "the plugin is not installed in this Python's environment: `make setup` installs it"
    return None


@dataclass
class Run:
    """One command that has ended."""

    words: tuple[str, ...]
    code: int
    text: str
    """Standard output and error, as printed."""
    seconds: float
    events: list[dict[str, Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"pulumi {' '.join(self.words)} -> {self.code} after {self.seconds:.1f} s\n{self.text}"

    @cached_property
    def steps(self) -> list[dict[str, Any]]:
        """What was planned or done to resources of ours, in order."""
        found = (event["resourcePreEvent"]["metadata"] for event in self.events if "resourcePreEvent" in event)
        return [step for step in found if step["type"].startswith(OURS)]

    @property
    def ops(self) -> dict[str, list[str]]:
        """What changes, by the resource's name: `{"net": ["update"]}`. Empty when nothing does."""
        found: dict[str, list[str]] = {}
        for step in self.steps:
            if step["op"] not in QUIET:
                found.setdefault(name_in(step["urn"]), []).append(step["op"])
        return found

    def diff(self, name: str) -> dict[str, str]:
        """The paths that change in a resource, and how: `{"memory": "update"}`."""
        for step in self.steps:
            if name_in(step["urn"]) == name and step["op"] not in QUIET and step.get("detailedDiff"):
                return {path: one["diffKind"] for path, one in step["detailedDiff"].items()}
        return {}

    def planned(self, name: str) -> dict[str, Any]:
        """The outputs that a preview promises for a resource; what it cannot know is UNKNOWN."""
        for event in self.events:
            step = event.get("resOutputsEvent", {}).get("metadata", {})
            if step and name_in(step["urn"]) == name and step["op"] not in QUIET:
                return dict(step["new"]["outputs"])
        raise KeyError(f"the plan has no {name}:\n{self}")

    @property
    def said(self) -> list[tuple[str, str]]:
        """Severity and text of every line of ours and of the engine, without its debugging."""
        found = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        return [(one["severity"], _plain(one["message"])) for one in found if one["severity"] != "debug"]

    @property
    def errors(self) -> str:
        """Everything that was said as an error."""
        return "\n".join(text for severity, text in self.said if severity == "error")


UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine writes a value that is not known yet."""


def name_in(urn: str) -> str:
    return urn.rpartition("::")[2]


def _plain(text: str) -> str:
    return re.sub(r"<\{%[^%]*%\}>", "", text).strip()


class Stack:
    """A project with one stack in a folder of its own; nothing of it is shared with the user or another test."""

    def __init__(self, folder: Path, names: dict[str, Any], after: Callable[[], object] = lambda: None) -> None:
        self.folder, self.names, self._after = folder, names, after
        # Ids follow from the project's name: another run of the tests at the same time must not have the same.
        self.name = f"shop-{names['P'].rstrip('-')}"
        self.project = folder / "project"
        self.runs: list[Run] = []
        self.project.mkdir(parents=True)
        (folder / "state").mkdir()
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")},
            "PATH": search_path(),
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
            # Shows the option --event-log.
            "PULUMI_DEBUG_COMMANDS": "1",
        }
        self.options: dict[str, Any] = {"virtualenv": str(VENV)}
        self.plugins: dict[str, Any] = {"plugins": {"providers": [{"name": "jvp", "path": str(VENV / "bin")}]}}
        self.has_plugin = True
        """Whether an engine that runs here starts the plugin."""
        self.settings: dict[str, Any] = {}
        self._describe()
        self("stack", "init", "dev")

    def _describe(self) -> None:
        project = {
            "name": self.name,
            "runtime": {"name": "python", "options": self.options},
            **self.plugins,
            **self.settings,
        }
        (self.project / "Pulumi.yaml").write_text(json.dumps(project), encoding="utf-8")

    def set_project(self, **settings: Any) -> None:
        """More keys of Pulumi.yaml."""
        self.settings = settings
        self._describe()

    def forget_plugin(self) -> None:
        """From now on nothing tells the engine where the plugin is."""
        self.plugins, self.has_plugin = {}, False
        self.env["PATH"] = without_plugin(self.env["PATH"])
        self._describe()

    def write(self, snippet: str, **values: Any) -> None:
        """The program: the snippet, after the test's names and these values as Python constants."""
        known = {**self.names, **values}
        head = ["import pulumi", "import pulumi_jvp as jvp", *(f"{name} = {value!r}" for name, value in known.items())]
        text = "\n".join(head) + "\n" + textwrap.dedent(snippet)
        (self.project / "__main__.py").write_text(text, encoding="utf-8")

    # Commands

    def __call__(self, *words: str, ok: bool | None = True, timeout_s: float = 240, log: bool = False) -> Run:
        """Run a command. `ok`: whether it must succeed, must fail, or (None) may do either."""
        events = self.folder / "events.json"
        events.unlink(missing_ok=True)
        start = time.monotonic()
        done = subprocess.run(
            ["pulumi", *words, *(["--event-log", str(events)] if log else [])],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        run = Run(words, done.returncode, done.stdout, time.monotonic() - start, list(_read(events)))
        self.runs.append(run)
        self._after()
        print(f"{run.seconds:5.1f} s  pulumi {' '.join(words)} -> {run.code}", flush=True)
        assert ok is None or (run.code == 0) == ok, run
        return run

    def up(self, *words: str, ok: bool | None = True, timeout_s: float = 240) -> Run:
        """`pulumi up` without the preview before it."""
        return self("up", "--yes", "--skip-preview", *words, ok=ok, timeout_s=timeout_s, log=True)

    def preview(self, *words: str, ok: bool | None = True) -> Run:
        return self("preview", *words, ok=ok, log=True)

    def refresh(self, *words: str, ok: bool | None = True) -> Run:
        return self("refresh", "--yes", "--skip-preview", *words, ok=ok, log=True)

    def destroy(self, *words: str, ok: bool | None = True) -> Run:
        return self("destroy", "--yes", "--skip-preview", *words, ok=ok, log=True)

    def settle(self) -> None:
        """The next preview has nothing to do."""
        run = self.preview("--expect-no-changes", ok=None)
        assert run.code == 0, {name: (op, run.diff(name)) for name, op in run.ops.items()} or run
        assert run.ops == {}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command that a test interrupts: in a process group of its own, as a shell would have it."""
        # A test runner in the background hands down an ignored SIGINT; a shell in a terminal does not.
        return subprocess.Popen(
            ["pulumi", *words],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
        )

    # What is known afterwards

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        return dict(json.loads(self("stack", "output", "--json").text))

    def state(self) -> dict[str, dict[str, Any]]:
        """The resources of ours in the state, by name, as the backend keeps them."""
        checkpoint = json.loads(self.state_file.read_text(encoding="utf-8"))["checkpoint"]
        found = (checkpoint.get("latest") or {}).get("resources") or []
        return {name_in(one["urn"]): one for one in found if one["type"].startswith(OURS)}

    @property
    def state_file(self) -> Path:
        return self.folder / "state" / ".pulumi" / "stacks" / self.name / "dev.json"

    def every_file(self) -> Iterator[tuple[Path, str]]:
        """Everything that the commands wrote: state, history, logs. The program is the user's, compiled or not."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and self.project not in path.parents:
                yield path, path.read_text(encoding="utf-8", errors="replace")


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)
