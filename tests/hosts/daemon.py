"""A libvirtd of a test's own: the second node, the daemon for an ordinary user, the session of a user."""

from __future__ import annotations

import contextlib
import grp
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from hosts.namespace import PATIENCE_S, Namespace, User

CACHE = Path("/var/cache/libvirt/qemu/capabilities")
"""What libvirtd knows of QEMU: without it the first connection asks each binary, for seconds."""
TCP_PORT = 16509
REAPER = Path(__file__).with_name("reaper.py")
_QEMU_CONF = """
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
security_driver = "none"
"""
_TREE = {"run": "/run/libvirt", "lib": "/var/lib/libvirt", "cache": "/var/cache/libvirt", "log": "/var/log/libvirt",
         "etc": "/etc/libvirt"}  # fmt: skip


class Daemon:
    """One libvirtd in a namespace. `stop`, `kill` and `start` again: its guests and networks live on."""

    def __init__(
        self,
        namespace: Namespace,
        arguments: list[str],
        path: Path,
        user: User | None = None,
        tcp: str | None = None,
    ) -> None:
        self.namespace, self.arguments, self.socket, self.user, self.tcp = namespace, arguments, path, user, tcp
        self.environment = dict(os.environ)
        self.process: subprocess.Popen[bytes] | None = None
        self.pid = 0

    @property
    def uri(self) -> str:
        """Reaches it from outside of its namespaces: a UNIX socket is a file."""
        return f"qemu+unix:///system?socket={self.socket}"

    def start(self) -> None:
        """Start it, and wait until it answers. Raises RuntimeError with its log."""
        log = self.namespace.folder / "libvirtd.log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(REAPER), *self.namespace.command("libvirtd", *self.arguments, user=self.user)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=out,
            )
        assert self.process.stdout is not None
        with self.process.stdout as told:
            self.pid = int(told.readline() or 0)
        end = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"libvirtd did not start: {log.read_text()[-2000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        """By its socket, and by TCP where it listens: that comes a moment later."""
        tcp = self.tcp is None or _connects(socket.AF_INET, (self.tcp, TCP_PORT))
        return tcp and _connects(socket.AF_UNIX, str(self.socket))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon alone; with SIGKILL it does not notice."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
        if self.process is not None:
            self.process.wait(timeout=PATIENCE_S)
            self.process = None

    def restart(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.stop(number)
        self.start()


class Link:
    """A veth pair between the host and a namespace. `cut` and `mend` are a cable."""

    def __init__(self, namespace: Namespace, number: int) -> None:
        self.namespace = namespace
        self.outer, inner = f"jvpt{os.getpid():x}{number:x}"[:15], "eth0"
        subnet = _free_subnet()
        self.host, self.address = f"{subnet}.1", f"{subnet}.2"
        _ip("link", "add", self.outer, "type", "veth", "peer", "name", inner, "netns", str(namespace.holder.pid))
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            _ip("address", "add", f"{self.host}/30", "dev", self.outer)
            _ip("link", "set", self.outer, "up")
            namespace.run("ip", "address", "add", f"{self.address}/30", "dev", inner)
            namespace.run("ip", "link", "set", inner, "up")
            undo.pop_all()

    # The far end: with the near one down the host would look for another way to the address.

    def cut(self) -> None:
        self.namespace.run("ip", "link", "set", "eth0", "down")

    def mend(self) -> None:
        self.namespace.run("ip", "link", "set", "eth0", "up")

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "delete", self.outer)


class SystemHost:
    """A node of its own: namespaces, a privileged libvirtd, its folders. `pools` is a folder for pools."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        users: tuple[User, ...] = (),
        tcp: int | None = None,
        libvirtd: str = "",
        own: tuple[str, ...] = (),
    ) -> None:
        """`own` are further folders of the system that it has for itself, empty."""
        folder.mkdir(mode=0o755)
        self.folder, self.pools, self.users = folder, folder / "pools", users
        self.pools.mkdir(mode=0o755)
        for name_ in _TREE:
            (folder / name_).mkdir(mode=0o755)
        _copy_etc(folder / "etc")
        _copy_cache(folder / "cache/qemu/capabilities")
        mounts = {target: folder / source for source, target in _TREE.items()}
        for number, target in enumerate(own):
            mounts[target] = folder / f"own{number}"
            mounts[target].mkdir(mode=0o755)
        with contextlib.ExitStack() as undo:
            self.namespace = Namespace(folder, name, mounts=mounts, users=users)
            undo.callback(self.namespace.close)
            self.link = None if tcp is None else Link(self.namespace, tcp)
            if self.link is not None:
                undo.callback(self.link.close)
                libvirtd += f'listen_tls = 0\nlisten_tcp = 1\nauth_tcp = "none"\nlisten_addr = "{self.link.address}"\n'
            libvirtd += f'host_uuid = "{uuid.uuid4()}"\n'
            (folder / "etc/libvirtd.conf").write_text(libvirtd)
            (folder / "etc/qemu.conf").write_text(_QEMU_CONF)
            listen = [] if self.link is None else ["--listen"]
            arguments = [*listen, "--pid-file", str(folder / "libvirtd.pid")]
            address = self.link.address if self.link else None
            self.daemon = Daemon(self.namespace, arguments, self._socket, tcp=address)
            self.daemon.start()
            undo.pop_all()

    @property
    def _socket(self) -> Path:
        return self.folder / "run/libvirt-sock"

    @property
    def uri(self) -> str:
        """By TCP where it listens, else by its socket's path."""
        return f"qemu+tcp://{self.link.address}/system" if self.link else self.daemon.uri

    def close(self) -> None:
        """End it with all of its guests and networks, and remove its folder."""
        if self.link is not None:
            self.link.close()
        self.namespace.close()
        self.daemon.stop(signal.SIGKILL)
        _remove(self.folder)


class SessionHost:
    """`qemu:///session` of an ordinary user, in namespaces of its own.

    `home` is the user's from outside; inside it is HOME, because libvirt keeps sockets below it, whose paths are short.
    """

    HOME = Path("/mnt")

    def __init__(self, folder: Path, name: str, user: User) -> None:
        folder.mkdir(mode=0o755)
        self.folder, self.user, self.home = folder, user, folder / "home"
        self.home.mkdir(mode=0o700)
        _copy_cache(self.home / ".cache/libvirt/qemu/cache/capabilities")
        self.environment = home_environment(self.home, user, self.HOME)
        self.namespace = Namespace(folder, name, mounts={str(self.HOME): self.home}, users=(user,))
        self.daemon = Daemon(self.namespace, [], self.home / "run/libvirt/libvirt-sock", user)
        self.daemon.environment |= self.environment
        try:
            self.daemon.start()
        except RuntimeError:
            self.close()
            raise

    def close(self) -> None:
        """End it with all of its guests, and remove its folder."""
        self.namespace.close()
        self.daemon.stop(signal.SIGKILL)
        _remove(self.folder)


def home_environment(home: Path, user: User, seen_as: Path | None = None) -> dict[str, str]:
    """The variables of a user with this home, whose folders are made; inside it may lie elsewhere."""
    inside = seen_as or home
    found = {"HOME": str(inside), "USER": user.name, "LOGNAME": user.name, "TMPDIR": str(inside / "tmp")}
    kinds = {"CACHE_HOME": ".cache", "CONFIG_HOME": ".config", "DATA_HOME": ".local/share", "RUNTIME_DIR": "run"}
    found |= {f"XDG_{kind}": str(inside / name) for kind, name in kinds.items()}
    for name in ("tmp", *kinds.values()):
        (home / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in (home, *home.rglob("*")):
        os.chown(path, user.uid, user.uid)
    return found


def libvirt_group() -> int | None:
    """The number of the group that may use the daemon, None where there is no such group."""
    with contextlib.suppress(KeyError):
        return grp.getgrnam("libvirt").gr_gid
    return None


def missing() -> str | None:
    """Why no daemon of our own can be started here, None when it can."""
    if os.geteuid() != 0:
        return "needs root, to make namespaces"
    tools = ("libvirtd", "unshare", "nsenter", "setpriv", "ip", "dnsmasq")
    absent = [tool for tool in tools if shutil.which(tool) is None]
    return f"needs {', '.join(absent)}" if absent else None


def _copy_etc(folder: Path) -> None:
    """The host's configuration without its objects."""
    shutil.copytree("/etc/libvirt/nwfilter", folder / "nwfilter")
    for name in ("qemu/networks/autostart", "qemu/autostart", "storage/autostart", "secrets", "hooks"):
        (folder / name).mkdir(parents=True)


def _copy_cache(folder: Path) -> None:
    if CACHE.is_dir():
        shutil.copytree(CACHE, folder)


def _free_subnet() -> str:
    """The first three numbers of a range that no route of the host covers."""
    routes = subprocess.run(["ip", "-4", "route"], capture_output=True, text=True, check=True).stdout
    free: Iterator[str] = (one for number in range(1, 255) if f"{(one := f'10.247.{number}')}." not in routes)
    return next(free)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=PATIENCE_S)


def _remove(folder: Path) -> None:
    """Remove a folder in which a process that is being killed may still write."""
    end = time.monotonic() + 5
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > end:
            return
        time.sleep(0.05)


def _connects(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family) as probe:
        probe.settimeout(5)
        try:
            probe.connect(address)
        except OSError:
            return False
    return True
