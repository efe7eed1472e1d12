"""Step ``engines``: the Pulumi CLI with its Python language host, found on PATH or built here."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from tools.setup.project import ENGINES, ROOT, TOOLS, SetupError, Stamp, digest, run

SOURCE = ROOT / "tools" / "pulumi"
SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
CLI_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
OLDEST = (3, 220, 0)
SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
BUILT = ("pulumi", "pulumi-language-python", *(Path(script).name for script in SCRIPTS))


def engines() -> str:
    """Use what the user has; build, once per change of the pins, what is missing."""
    found = _on_path()
    if found:
        return found
    cli = Stamp(TOOLS / "pulumi.stamp", digest([SOURCE / "go.mod", SOURCE / "go.sum"]))
    host = Stamp(TOOLS / "langhost.stamp", digest([SOURCE]))
    present = all((ENGINES / name).exists() for name in BUILT)
    if present and cli.matches() and host.matches():
        return f"pulumi {_pinned()} from .tools/bin"
    _build(cli, host)
    return f"built pulumi {_pinned()} into .tools/bin"


def obstacle() -> str | None:
    """What keeps the engines from being built, where they must be: for the step ``check``."""
    if all((ENGINES / name).exists() for name in BUILT) or _on_path():
        return None
    oldest = ".".join(map(str, OLDEST))
    needed = _go_needed()
    remedy = (
        f"put Go {'.'.join(map(str, needed))} or newer on PATH or into /usr/local/go "
        f"(Debian 12's own Go 1.19 is too old), or install Pulumi {oldest} or newer with its Python host"
    )
    try:
        have = _numbers(_go(["env", "GOVERSION"], why="go"))
    except SetupError:
        return f"the Pulumi CLI is not there and Go is missing to build it: {remedy}"
    if have < needed:
        return f"the Pulumi CLI is not there and Go {'.'.join(map(str, have))} is too old to build it: {remedy}"
    return None


def _on_path() -> str | None:
    """Describe a Pulumi of the user's own that is new enough and complete; our own folder does not count."""
    folders = [part for part in os.environ.get("PATH", "").split(os.pathsep) if part and Path(part) != ENGINES]
    search = os.pathsep.join(folders)
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
    return f"pulumi {version.lstrip('v')} from {Path(cli).parent}" if _numbers(version) >= OLDEST else None


def _build(cli: Stamp, host: Stamp) -> None:
    ENGINES.mkdir(parents=True, exist_ok=True)
    if not (cli.matches() and (ENGINES / "pulumi").exists()):
        print("    engines   building the Pulumi CLI: some five minutes, once", flush=True)
        cli.clear()
        _go_build(CLI_PACKAGE, "pulumi")
        cli.write()
    host.clear()
    _go_build("./langhost", "pulumi-language-python")
    sdk = Path(_go(["list", "-m", "-f", "{{.Dir}}", SDK_MODULE], why="could not find Pulumi's SDK module").strip())
    for script in SCRIPTS:
        target = ENGINES / Path(script).name
        shutil.copyfile(sdk / script, target)
        target.chmod(0o755)
    host.write()


def _go_build(package: str, name: str) -> None:
    """Build one program. It takes its place in one step: an engine that is running keeps its old file."""
    fresh = ENGINES / f".{name}.new"
    version = f"-X {SDK_MODULE}/go/common/version.Version=v{_pinned()}"
    flags = ["-trimpath", "-buildvcs=false", "-tags", "osusergo,grpcnotrace", "-ldflags", f"-w -s {version}"]
    _go(["build", *flags, "-o", str(fresh), package], why=f"could not build {name}")
    fresh.rename(ENGINES / name)


def _go(arguments: Sequence[str], *, why: str) -> str:
    found = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if not found:
        raise SetupError(f"{why}: Go is not installed")
    env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    if "HOME" not in env:
        env |= {"GOCACHE": str(TOOLS / "go" / "cache"), "GOPATH": str(TOOLS / "go")}
    return run([found, *arguments], why=why, cwd=SOURCE, env=env, timeout_s=3600)


def _pinned() -> str:
    """The version in go.mod: the one place that names it."""
    return _in_go_mod(rf"^\s*(?:require )?{re.escape(SDK_MODULE)} v(\S+)")


def _go_needed() -> tuple[int, ...]:
    return _numbers(_in_go_mod(r"^go (\S+)"))


def _in_go_mod(pattern: str) -> str:
    found = re.search(pattern, (SOURCE / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise SetupError(f"tools/pulumi/go.mod has no line like {pattern}")
    return found.group(1)


def _numbers(version: str) -> tuple[int, ...]:
    """``go1.26.8`` and ``v3.259.0`` as numbers that compare."""
    found = re.search(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found.group().split("."))) if found else ()
