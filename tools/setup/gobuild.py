"""Programs that are built from Go modules: each from a folder of tools/ whose go.mod pins all versions."""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.setup.project import ENGINES, ROOT, TOOLS, SetupError, Stamp, digest, run


@dataclass(frozen=True)
class GoModule:
    """A Go module of ours, with the programs that it depends on as tools."""

    source: Path

    def pins(self, name: str) -> Stamp:
        """The stamp of what was built from the pins alone, and from nothing else in the folder."""
        return Stamp(TOOLS / f"{name}.stamp", digest([self.source / "go.mod", self.source / "go.sum"]))

    def pinned(self, module: str) -> str:
        """A module's version in go.mod: the one place that names it."""
        return self._in_go_mod(rf"^\s*(?:require )?{re.escape(module)} v(\S+)")

    def obstacle(self, program: str, otherwise: str) -> str | None:
        """What keeps this machine from building the program; `otherwise`: what to install instead of Go."""
        needed = numbers(self._in_go_mod(r"^go (\S+)"))
        remedy = (
            f"put Go {dotted(needed)} or newer on PATH or into /usr/local/go "
            f"(Debian 12's own Go 1.19 is too old), or install {otherwise}"
        )
        try:
            have = numbers(self.go(["env", "GOVERSION"], why="go"))
        except SetupError:
            return f"{program} is not there and Go is missing to build it: {remedy}"
        if have < needed:
            return f"{program} is not there and Go {dotted(have)} is too old to build it: {remedy}"
        return None

    def build(self, package: str, name: str, *, ldflags: str, tags: Sequence[str] = ()) -> None:
        """Build one program. It takes its place in one step: an engine that is running keeps its old file."""
        ENGINES.mkdir(parents=True, exist_ok=True)
        fresh = ENGINES / f".{name}.new"
        flags = ["-trimpath", "-buildvcs=false", "-tags", ",".join(tags), "-ldflags", f"-w -s {ldflags}"]
        self.go(["build", *flags, "-o", str(fresh), package], why=f"could not build {name}")
        fresh.rename(ENGINES / name)

    def go(self, arguments: Sequence[str], *, why: str) -> str:
        """Run a command of the Go that is installed; it loads no other Go."""
        found = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
        if not found:
            raise SetupError(f"{why}: Go is not installed")
        env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        if "HOME" not in env:
            env |= {"GOCACHE": str(TOOLS / "go" / "cache"), "GOPATH": str(TOOLS / "go")}
        return run([found, *arguments], why=why, cwd=self.source, env=env, timeout_s=3600)

    def _in_go_mod(self, pattern: str) -> str:
        file = self.source / "go.mod"
        found = re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE)
        if not found:
            raise SetupError(f"{file.relative_to(ROOT)} has no line like {pattern}")
        return found.group(1)


def users_path() -> str:
    """The search path of the user's own programs: what was built here does not count."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join(part for part in folders if part and Path(part) != ENGINES)


def built(names: Sequence[str]) -> bool:
    """Whether all of them are in our folder, of whatever version."""
    return all((ENGINES / name).exists() for name in names)


def numbers(version: str) -> tuple[int, ...]:
    """``go1.26.8`` and ``v3.259.0`` as numbers that compare."""
    found = re.search(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found.group().split("."))) if found else ()


def dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))
