"""A mirror of providers: how `tofu init` and `terraform init` find the provider without a registry.

    <data>/jvp/python                                 the interpreter that has jvp, and what it starts, for this user
    <data>/jvp/terraform/mirror/
      jvp.internal/jvp/jvp/<version>/<platform>/terraform-provider-jvp_v<version>

A project's lock file holds a hash of what is in the last folder, and everybody who works on the project must get the
same: so the launcher in it is the same text everywhere, and what differs between machines stands in the file beside.
Source: OpenTofu, `internal/getproviders/filesystem_search.go`, `internal/command/cliconfig/config_unix.go`,
`cmd/tofu/provider_source.go`.
"""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path

import jvp
from jvp.core.errors import Invalid, Rejected
from jvp.doors.cli.files import is_made_by, reason, write_whole
from jvp.warm.launcher import SCRIPT

SOURCE = "jvp.internal/jvp/jvp"
MODULE = "jvp.doors.terraform.plugin"
EXPORT = "jvp.doors.terraform.export"
"""The provider's address, what the launcher starts, and what writes HCL. By name: doors do not know each other."""
PLATFORMS = ("linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64")
PROGRAM = f"terraform-provider-jvp_v{jvp.__version__}"
MADE_BY = "# Made by `jvp terraform install`."
LAUNCHER = f"""\
#!/bin/sh
{MADE_BY} The same text on every machine: lock files hold its hash.
note="${{XDG_DATA_HOME:-$HOME/.local/share}}/jvp/python"
python="$JVP_PYTHON"
[ -n "$python" ] || {{ read -r python; read -r launcher; }} 2>/dev/null <"$note"
[ -x "$python" ] && [ -r "$launcher" ] && exec "$python" -IS "$launcher" terraform "$@"
[ -x "$python" ] && exec "$python" -P -m {MODULE} "$@"
if [ -n "$python" ]; then
    said="jvp {jvp.__version__} is not installed at $python any more; install it again and run: jvp terraform install"
else
    said="there is no $note to say where jvp {jvp.__version__} is; run: jvp terraform install, or set JVP_PYTHON"
fi
if [ -n "$TF_PLUGIN_MAGIC_COOKIE" ]; then
    # The host shows the first line of the output in the place of a handshake, and stops us; but not if we are gone.
    echo "$said"
    exec sleep 10
fi
echo "$said" >&2
exit 1
"""
CONFIGURATION = """\
provider_installation {{
  filesystem_mirror {{
    path    = "{mirror}"
    include = ["{source}"]
  }}
  direct {{
    exclude = ["{source}"]
  }}
}}
"""


@dataclass(frozen=True)
class Configuration:
    """What the CLI has to be told, and the files that it may read it from."""

    lines: str
    files: tuple[Path, ...]
    """Those that exist already."""
    fresh: Path
    """The one to write when there is none. Both programs read it."""
    by_itself: bool = False
    """Whether both programs look into the mirror where no file says where to look."""

    @property
    def implied(self) -> bool:
        """Whether nothing needs to be said."""
        return self.by_itself and not any("provider_installation" in _text(file) for file in self.files)

    @property
    def told(self) -> bool:
        """Whether the files name the provider already."""
        return bool(self.files) and all(SOURCE in _text(file) for file in self.files)


def data_folder() -> Path:
    """Where this user's own data of jvp is. Raises Invalid."""
    given = os.environ.get("XDG_DATA_HOME")
    return (Path(given) if given else _home() / ".local" / "share") / "jvp"


def mirror(given: str | None) -> Path:
    """The mirror that was given, else the user's own. Raises Invalid."""
    if given == "":
        raise Invalid("the mirror must not be empty; leave the option out for the usual one")
    return Path(given).absolute() if given else data_folder() / "terraform" / "mirror"


def configuration(mirror: Path) -> Configuration:
    """How the CLI finds the mirror."""
    if given := os.environ.get("TF_CLI_CONFIG_FILE"):
        places = [Path(given)]
    else:
        places = [_home() / ".tofurc", _home() / ".terraformrc"]
        if xdg := os.environ.get("XDG_CONFIG_HOME"):
            places.append(Path(xdg) / "opentofu" / "tofurc")
    lines = CONFIGURATION.format(mirror=str(mirror).replace("\\", "\\\\").replace('"', '\\"'), source=SOURCE)
    existing = tuple(place for place in places if place.exists())
    by_itself = mirror == _home() / ".terraform.d" / "plugins"
    return Configuration(lines, existing, places[0] if given else _home() / ".terraformrc", by_itself)


def install(mirror: Path) -> Path:
    """Put the launcher into the mirror for every platform, and note this interpreter; the version's folder.

    Again: writes the same once more. Raises Rejected.
    """
    folder = mirror / SOURCE / jvp.__version__
    note = data_folder() / "python"
    target = note
    try:
        for platform in PLATFORMS:
            target = folder / platform / PROGRAM
            _refuse_foreign(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, LAUNCHER, 0o755)
        target = note
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, f"{sys.executable}\n{SCRIPT}\n", 0o644)
    except OSError as error:
        raise Rejected(f"cannot write {target}: {reason(error)}") from None
    return folder


def uninstall(mirror: Path) -> Path | None:
    """Take this version's launchers out of the mirror; its folder, None when there was none. Raises Rejected.

    What else is there stays: others' files, other platforms. With the last version the interpreter's note goes too.
    """
    folder = mirror / SOURCE / jvp.__version__
    ours = [folder / platform / PROGRAM for platform in PLATFORMS]
    try:
        if not folder.is_dir():
            return None
        for one in ours:
            _refuse_foreign(one)
        if any(folder.iterdir()) and not any(one.exists() for one in ours):
            return None
        for one in ours:
            one.unlink(missing_ok=True)
            if one.parent.is_dir():
                _remove_empty(one.parent, one.parent)
        if set(folder.parent.iterdir()) == {folder}:
            (data_folder() / "python").unlink(missing_ok=True)
        _remove_empty(folder, data_folder() if data_folder() in mirror.parents else mirror)
        if data_folder().exists():
            _remove_empty(data_folder(), data_folder())
    except OSError as error:
        raise Rejected(f"cannot remove {folder}: {reason(error)}") from None
    return folder


def _remove_empty(folder: Path, last: Path) -> None:
    """Remove empty folders, from the innermost to the last one."""
    while not any(folder.iterdir()):
        folder.rmdir()
        if folder == last:
            return
        folder = folder.parent


def write_configuration(found: Configuration) -> None:
    """Write the CLI's configuration where there is none. Raises Rejected."""
    try:
        found.fresh.parent.mkdir(parents=True, exist_ok=True)
        with found.fresh.open("x", encoding="utf-8") as file:
            file.write(found.lines)
    except OSError as error:
        raise Rejected(f"cannot write {found.fresh}: {reason(error)}") from None


def take_back(found: Configuration) -> list[Path]:
    """Remove the configuration that is nothing but what was written here; which files that were. Raises Rejected."""
    ours = [file for file in found.files if _text(file) == found.lines]
    for file in ours:
        try:
            file.unlink()
        except OSError as error:
            raise Rejected(f"cannot remove {file}: {reason(error)}") from None
    return ours


def _home() -> Path:
    """The user's home as the CLI and the launcher have it: by $HOME first."""
    if given := os.environ.get("HOME"):
        return Path(given)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise Invalid(f"the user {os.getuid()} has no home folder; set HOME") from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Rejected(f"cannot read {file}: {reason(error)}") from None


def _refuse_foreign(target: Path) -> None:
    """A provider that somebody else put there stays. Raises Rejected, OSError."""
    if target.exists() and not is_made_by(target, MADE_BY):
        raise Rejected(f"{target} was not made by jvp; move it away and run again")
