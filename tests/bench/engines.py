"""One contestant in a folder of its own, under the real engine: `declare`, then `up`, `plan`, `refresh`, `down`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.setup import tofu

from bench import programs
from bench.contestants import Contestant, launcher_text
from bench.programs import Objects
from bench.sample import Sample, measured
from hosts import engine as pulumi
from hosts.engine import ROOT

HOST = "race.internal/race"
"""Providers' addresses. The host exists nowhere."""
VERBS = ("up", "plan", "refresh", "down")
_FOREIGN = ("TF_", "PULUMI_", "LIBVIRT_", "PYTHONPATH", "MAKE", "MFLAGS")
"""Variables that no engine is to have from whoever measures; with PYTHONPATH JVP starts plainly."""


class Engine:
    """What both have in common. Each contestant has warm processes of its own, in `runtime`."""

    commands: dict[str, tuple[str, ...]]
    only_child = False

    def __init__(self, contestant: Contestant, folder: Path) -> None:
        self.contestant, self.folder = contestant, folder
        self.starts = folder / "starts"
        self.launcher = folder / "bin" / contestant.launcher
        self.launcher.parent.mkdir(parents=True)
        self.launcher.write_text(launcher_text(contestant, self.starts))
        self.launcher.chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        self.runtime = folder / "run"
        self.runtime.mkdir(mode=0o700)
        self.environment = {**kept, "XDG_RUNTIME_DIR": str(self.runtime)}
        self.said = ""

    def declare(self, objects: Objects | None) -> None:
        """Write the program; None is one without anything."""
        raise NotImplementedError

    def run(self, verb: str) -> Sample:
        """One of VERBS. Raises Failed."""
        return self._measured(self.commands[verb])

    def _measured(self, command: Sequence[str | Path]) -> Sample:
        sample, self.said = measured(
            command, self.folder, self.environment, self.starts, only_child=self.only_child
        )  # fmt: skip
        return sample


class Tofu(Engine):
    """OpenTofu, or Terraform. Its `plan` is without a refresh, its `refresh` a plan with one."""

    only_child = True

    def __init__(self, contestant: Contestant, folder: Path, uri: str) -> None:
        super().__init__(contestant, folder)
        found = program()
        assert found is not None
        self.uri, self.source = uri, f"{HOST}/{contestant.provider}"
        (folder / "rc").write_text(
            f'provider_installation {{\n dev_overrides {{ "{self.source}" = "{self.launcher.parent}" }}\n}}\n'
        )
        self.environment |= {"TF_CLI_CONFIG_FILE": str(folder / "rc"), "TF_IN_AUTOMATION": "1", "TF_INPUT": "0",
                             "CHECKPOINT_DISABLE": "1"}  # fmt: skip
        self.commands = {
            "up": (str(found), "apply", "-auto-approve", "-no-color"),
            "plan": (str(found), "plan", "-refresh=false", "-no-color"),
            "refresh": (str(found), "plan", "-no-color"),
            "down": (str(found), "destroy", "-auto-approve", "-no-color"),
        }

    def declare(self, objects: Objects | None) -> None:
        name = self.contestant.provider
        document: dict[str, Any] = {}
        if objects is not None:
            settings = {"uri": self.uri, **({"virt_type": "qemu"} if name == "jvp" else {})}
            document = {
                "terraform": {"required_providers": {name: {"source": self.source}}},
                "provider": {name: settings},
                "resource": programs.for_tofu(self.contestant.words(objects), ours=name == "jvp"),
            }
        (self.folder / "main.tf.json").write_text(json.dumps(document))


class Pulumi(Engine):
    """Pulumi with a Python program. Without previews before what is done."""

    def __init__(self, contestant: Contestant, folder: Path, uri: str) -> None:
        super().__init__(contestant, folder)
        for name in ("state", "home"):
            (folder / name).mkdir()
        shutil.copy(Path(__file__).with_name("program.py"), folder / "__main__.py")
        language = {"name": "python", "options": {"virtualenv": sys.prefix}}
        (folder / "Pulumi.yaml").write_text(json.dumps({"name": "race", "runtime": language}))
        name = contestant.provider
        settings = {f"{name}:uri": uri, **({"jvp:virtType": "qemu"} if name == "jvp" else {})}
        (folder / "Pulumi.dev.yaml").write_text(json.dumps({"config": settings}))
        path = os.pathsep.join([str(self.launcher.parent), str(ROOT / ".tools/bin"), self.environment.get("PATH", "")])
        self.environment |= {
            "PATH": path, "PULUMI_SKIP_UPDATE_CHECK": "1", "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "", "PULUMI_HOME": str(folder / "home"),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1", "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        cli = (str(shutil.which("pulumi", path=path)), "--non-interactive")
        done = ("--yes", "--skip-preview", "--stack", "dev")
        self.commands = {
            "up": (*cli, "up", *done), "plan": (*cli, "preview", "--stack", "dev"),
            "refresh": (*cli, "refresh", *done), "down": (*cli, "destroy", *done),
        }  # fmt: skip
        self.declare(None)
        self._measured((*cli, "stack", "init", "dev"))

    def declare(self, objects: Objects | None) -> None:
        ours = self.contestant.provider == "jvp"
        resources = programs.for_pulumi(self.contestant.words(objects), ours=ours) if objects else []
        (self.folder / "resources.json").write_text(json.dumps(resources))


def start(contestant: Contestant, folder: Path, uri: str) -> Engine:
    """A contestant, ready to race."""
    return (Tofu if contestant.engine == "tofu" else Pulumi)(contestant, folder, uri)


def program() -> Path | None:
    """OpenTofu, which the figures were measured with, or else Terraform."""
    path = f"{ROOT / '.tools/bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    found = {one.name: one for one in tofu.find(path)}
    return found.get("tofu") or found.get("terraform")


def missing(engine: str) -> str | None:
    """Why there is no race under this engine here."""
    if engine == "pulumi":
        return pulumi.missing()
    return None if program() else "no tofu and no terraform (make setup builds one)"
