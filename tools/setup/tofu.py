"""Step ``tofu``: OpenTofu, found on PATH or built here. Terraform serves too where it is on PATH: tests try both."""

import json
import os
import shutil
from pathlib import Path

from tools.setup import gobuild
from tools.setup.gobuild import GoModule, dotted, numbers
from tools.setup.project import ROOT, TOOLS, SetupError, run

MODULE = GoModule(ROOT / "tools" / "tofu")
TOFU_MODULE = "github.com/opentofu/opentofu"
OLDEST = {"tofu": (1, 10), "terraform": (1, 11)}
"""The programs that serve, and from which version on; the first is preferred."""


def tofu() -> str:
    """Use what the user has; build, once per change of the pins, what is missing."""
    found = find(gobuild.users_path())
    others = {program: version for program, version in found.items() if program.name != "tofu"}
    beside = "".join(f", {program.name} {version} from {program.parent}" for program, version in others.items())
    for program, version in found.items():
        if program.name == "tofu":
            return f"tofu {version} from {program.parent}{beside}"
    version, stamp = MODULE.pinned(TOFU_MODULE), MODULE.pins("tofu")
    if gobuild.built(["tofu"]) and stamp.matches():
        return f"tofu {version} from .tools/bin{beside}"
    print("    tofu      building OpenTofu: some five minutes, once", flush=True)
    stamp.clear()
    MODULE.build(f"{TOFU_MODULE}/cmd/tofu", "tofu", ldflags=f"-X '{TOFU_MODULE}/version.dev=no'")
    stamp.write()
    return f"built tofu {version} into .tools/bin{beside}"


def obstacle() -> str | None:
    """What keeps it from being built, where it must be: for the step ``check``."""
    if gobuild.built(["tofu"]) or any(program.name == "tofu" for program in find(gobuild.users_path())):
        return None
    return MODULE.obstacle("OpenTofu", f"OpenTofu {dotted(OLDEST['tofu'])} or newer")


def find(search: str) -> dict[Path, str]:
    """The programs on a search path that are new enough, with their versions."""
    found: dict[Path, str] = {}
    for name, oldest in OLDEST.items():
        program = shutil.which(name, path=search)
        version = _version(program) if program else ""
        if program and numbers(version) >= oldest:
            found[Path(program)] = version
    return found


def _version(program: str) -> str:
    """Its version, or nothing where it does not run; the user's settings have no say."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    env = {**own, "TF_CLI_CONFIG_FILE": os.devnull, "TF_DATA_DIR": str(TOOLS / "tofu-data"), "CHECKPOINT_DISABLE": "1"}
    try:
        told = run([program, "version", "-json"], why="could not ask for its version", env=env, timeout_s=30)
        return str(json.loads(told)["terraform_version"])
    except (SetupError, ValueError, KeyError):
        return ""
