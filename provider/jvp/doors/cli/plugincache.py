"""Pulumi's plugin cache: how the Pulumi CLI finds the provider without a line in Pulumi.yaml.

    $PULUMI_HOME/plugins/
      resource-jvp-v<version>/pulumi-resource-jvp    what the engine starts
      resource-jvp-v<version>.partial                while it is there, the folder is unfinished to the engine
      resource-jvp-v<version>.lock, .lastused        files of the engine's own

A folder of exactly the SDK's version is preferred; a newer one with the same major number will do. What we put there is
a launcher of a few lines, not a copy: the provider stays where pip installed it.
Source: `sdk/go/common/workspace/plugins.go`, `paths.go`.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import sys
from pathlib import Path

import jvp
from jvp.core.errors import Invalid, Rejected
from jvp.doors.cli.files import is_made_by, reason, write_whole
from jvp.warm.launcher import SCRIPT

PROGRAM = "pulumi-resource-jvp"
MADE_BY = "# Made by `jvp pulumi install`."
BESIDE = (".partial", ".lock", ".lastused")
LAUNCHER = """\
#!/bin/sh
{made_by}
if [ ! -x {python} ] || [ ! -r {launcher} ]; then
    echo {gone} >&2
    exit 1
fi
exec {python} -IS {launcher} pulumi "$@"
"""


def home(given: str | None) -> Path:
    """Pulumi's home: the folder that was given, else $PULUMI_HOME, else `.pulumi` in the user's own. Raises Invalid."""
    if given == "":
        raise Invalid("Pulumi's home must not be empty; leave the option out for the usual one")
    text = given or os.environ.get("PULUMI_HOME")
    if text:
        return Path(text).absolute()
    try:
        # As the engine has it: not from $HOME, which sudo and containers leave at another user's.
        return Path(pwd.getpwuid(os.getuid()).pw_dir, ".pulumi")
    except KeyError:
        raise Invalid(f"the user {os.getuid()} has no home folder; set PULUMI_HOME or give --pulumi-home") from None


def folder(home: Path) -> Path:
    """The provider's folder in the cache, for this very version."""
    return home / "plugins" / f"resource-jvp-v{jvp.__version__}"


def install(home: Path) -> Path:
    """Put the launcher into the cache; the path of it. Raises Rejected.

    Again: writes the same once more. The file takes its place in one step, so an engine never meets half of it.
    """
    target = folder(home) / PROGRAM
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)  # as the Pulumi CLI does: it keeps credentials there
        target.parent.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(target)
        write_whole(target, launcher(Path(sys.executable)), 0o755)
        # Left by a download of the engine's that was cut off: the engine would pass our folder by.
        target.parent.with_name(target.parent.name + ".partial").unlink(missing_ok=True)
    except OSError as error:
        raise Rejected(f"cannot write {target}: {reason(error)}") from None
    return target


def uninstall(home: Path) -> Path | None:
    """Take the provider's folder of this version out of the cache; which one that was, None when there was none."""
    there = folder(home)
    try:
        found = there.is_dir()
        if found:
            _refuse_foreign(there / PROGRAM)
            shutil.rmtree(there)
        for suffix in BESIDE:
            there.with_name(there.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise Rejected(f"cannot remove {there}: {reason(error)}") from None
    return there if found else None


def launcher(python: Path) -> str:
    """The text of the launcher for the installation that belongs to this interpreter.

    Neither an activated environment nor the folder that the engine starts it in changes what it runs (`-P`).
    """
    gone = f"jvp {jvp.__version__} is not installed at {python} any more; install it again and run: jvp pulumi install"
    return LAUNCHER.format(
        made_by=MADE_BY,
        python=shlex.quote(str(python)),
        gone=shlex.quote(gone),
        launcher=shlex.quote(SCRIPT),
    )


def _refuse_foreign(target: Path) -> None:
    """A plugin that somebody else put there stays."""
    if target.exists() and not is_made_by(target, MADE_BY):
        raise Rejected(
            f"{target} was not made by jvp; remove it with: pulumi plugin rm resource jvp {jvp.__version__}, "
            "and run again"
        )
