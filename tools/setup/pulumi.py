"""Step ``pulumi``: the Pulumi CLI with its Python language host, found on PATH or built here."""

import os
import shutil
from pathlib import Path

from tools.setup import gobuild
from tools.setup.gobuild import GoModule, dotted, numbers
from tools.setup.project import ENGINES, ROOT, TOOLS, SetupError, Stamp, digest, run

MODULE = GoModule(ROOT / "tools" / "pulumi")
SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
CLI_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
OLDEST = (3, 220, 0)
SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
BUILT = ("pulumi", "pulumi-language-python", *(Path(script).name for script in SCRIPTS))


def pulumi() -> str:
    """Use what the user has; build, once per change of the pins, what is missing."""
    found = _on_path()
    if found:
        return found
    version = MODULE.pinned(SDK_MODULE)
    cli = MODULE.pins("pulumi")
    host = Stamp(TOOLS / "langhost.stamp", digest([MODULE.source]))
    if gobuild.built(BUILT) and cli.matches() and host.matches():
        return f"pulumi {version} from .tools/bin"
    if not (gobuild.built(["pulumi"]) and cli.matches()):
        print("    pulumi    building the Pulumi CLI: some five minutes, once", flush=True)
        cli.clear()
        _build(CLI_PACKAGE, "pulumi")
        cli.write()
    host.clear()
    _build("./langhost", "pulumi-language-python")
    _copy_scripts()
    host.write()
    return f"built pulumi {version} into .tools/bin"


def obstacle() -> str | None:
    """What keeps it from being built, where it must be: for the step ``check``."""
    if gobuild.built(BUILT) or _on_path():
        return None
    return MODULE.obstacle("the Pulumi CLI", f"Pulumi {dotted(OLDEST)} or newer with its Python host")


def _on_path() -> str | None:
    """Describe a Pulumi of the user's own that is new enough and complete."""
    search = gobuild.users_path()
    cli = shutil.which("pulumi", path=search)
    if not cli:
        return None
    beside = str(Path(cli).resolve().parent)
    if not shutil.which("pulumi-language-python", path=os.pathsep.join([search, beside])):
        return None
    home = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1", "PULUMI_HOME": str(TOOLS / "pulumi-home")}
    try:
        version = run([cli, "version"], why="could not ask pulumi for its version", env=home, timeout_s=30).strip()
    except SetupError:
        return None
    return f"pulumi {version.lstrip('v')} from {Path(cli).parent}" if numbers(version) >= OLDEST else None


def _build(package: str, name: str) -> None:
    version = f"-X {SDK_MODULE}/go/common/version.Version=v{MODULE.pinned(SDK_MODULE)}"
    MODULE.build(package, name, ldflags=version, tags=["osusergo", "grpcnotrace"])


def _copy_scripts() -> None:
    """What lies beside the programs and is no Go."""
    told = MODULE.go(["list", "-m", "-f", "{{.Dir}}", SDK_MODULE], why="could not find Pulumi's SDK module")
    for script in SCRIPTS:
        target = ENGINES / Path(script).name
        shutil.copyfile(Path(told.strip()) / script, target)
        target.chmod(0o755)
