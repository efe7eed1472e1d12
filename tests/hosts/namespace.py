"""A mount, network and UTS namespace that a small process holds open, and running commands in it."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

INSIDE = Path(__file__).with_name("inside.py")
PATIENCE_S = 30.0


@dataclass(frozen=True)
class User:
    """An ordinary user that exists in one namespace only."""

    name: str
    uid: int
    groups: tuple[int, ...] = ()

    @property
    def credentials(self) -> list[str]:
        """The command before a command that runs as this user, with no privilege left."""
        groups = ["--groups", ",".join(map(str, self.groups))] if self.groups else ["--clear-groups"]
        ids = ["--reuid", str(self.uid), "--regid", str(self.uid)]
        return ["setpriv", *ids, *groups, "--inh-caps=-all", "--no-new-privs", "--"]


def free_uid() -> int:
    """A number that no user and no group has."""
    taken = {user.pw_uid for user in pwd.getpwall()} | {group.gr_gid for group in grp.getgrall()}
    return next(number for number in range(23456, 60000) if number not in taken)


class Namespace:
    """Namespaces of our own. `folder` holds what is mounted there; `close` ends every process inside."""

    def __init__(self, folder: Path, name: str, *, mounts: Mapping[str, Path], users: Sequence[User] = ()) -> None:
        self.folder, self.name = folder, name
        commands = [["mount", "--bind", str(source), target] for target, source in mounts.items()]
        if users:
            commands += self._accounts(users)
            commands += self._reachable_python()
        commands.append(["ip", "link", "set", "lo", "up"])
        plan = json.dumps({"commands": commands, "hostname": name})
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--uts", "--", sys.executable, str(INSIDE), plan],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.holder.stdout is not None
        if self.holder.stdout.readline().strip() != "ready":
            self.close()
            raise RuntimeError(f"the namespace {name} did not come up")
        self._mark = _mount_namespace(self.holder.pid)

    def command(self, *argv: str | Path, user: User | None = None, folder: Path | None = None) -> list[str]:
        """The command that runs `argv` inside."""
        enter = ["nsenter", "--target", str(self.holder.pid), "--mount", "--net", "--uts", "--"]
        where = ["env", "--chdir", str(folder or self.folder)]
        return [*enter, *(user.credentials if user else ()), *where, *map(str, argv)]

    def run(self, *argv: str | Path, user: User | None = None) -> str:
        """Run to its end inside; its output. Raises CalledProcessError."""
        done = subprocess.run(
            self.command(*argv, user=user), capture_output=True, text=True, check=True, timeout=PATIENCE_S
        )
        return done.stdout

    def processes(self) -> list[int]:
        """Every process inside but the holder."""
        return [pid for pid in _pids() if pid != self.holder.pid and _mount_namespace(pid) == self._mark]

    def close(self) -> None:
        """End all that runs inside, then the namespaces themselves."""
        if hasattr(self, "_mark"):
            for number in (signal.SIGTERM, signal.SIGKILL):
                for pid in self.processes():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                end = time.monotonic() + (3 if number == signal.SIGTERM else PATIENCE_S)
                while self.processes() and time.monotonic() < end:
                    time.sleep(0.02)
        for stream in (self.holder.stdin, self.holder.stdout):
            if stream is not None:
                stream.close()
        self.holder.wait(timeout=PATIENCE_S)

    def _accounts(self, users: Sequence[User]) -> Iterator[list[str]]:
        """The host's accounts and ours, seen in here only: libvirtd asks for the name behind a client's uid."""
        lines = {"passwd": "{0.name}:x:{0.uid}:{0.uid}::/nonexistent:/bin/sh\n", "group": "{0.name}:x:{0.uid}:\n"}
        for name, line in lines.items():
            copy = self.folder / name
            copy.write_text(Path("/etc", name).read_text() + "".join(line.format(user) for user in users))
            yield ["mount", "--bind", str(copy), f"/etc/{name}"]

    def _reachable_python(self) -> Iterator[list[str]]:
        """An interpreter below a closed folder (/root, with pyenv) is laid bare in here, and nothing else of it."""
        home = Path(sys.base_prefix)
        closed = next((one for one in reversed(home.parents) if not one.stat().st_mode & stat.S_IXOTH), None)
        if closed is None:
            return
        aside = self.folder / "python"
        aside.mkdir(exist_ok=True)
        yield ["mount", "--bind", str(home), str(aside)]
        yield ["mount", "-t", "tmpfs", "-o", "mode=0755", "none", str(closed)]
        yield ["mkdir", "-p", str(home)]
        yield ["mount", "--move", str(aside), str(home)]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _mount_namespace(pid: int) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return None
