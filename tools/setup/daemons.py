"""Step ``daemons``: libvirtd and its log daemon, started only where none answers, and never stopped."""

import grp
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

from tools.setup.project import SetupError, run

LIBVIRTD = Path("/run/libvirt/libvirt-sock")
VIRTLOGD = Path("/run/libvirt/virtlogd-sock")
REAPER = Path(__file__).with_name("reaper.py")
PATIENCE_S = 30.0


def daemons() -> str:
    """Make sure that libvirtd answers on its usual socket. Raises SetupError."""
    _open_kvm()
    if answers(LIBVIRTD):
        return "libvirtd answers"
    if Path("/run/systemd/system").is_dir():
        run(["systemctl", "start", "libvirtd"], why="could not start libvirtd")
        started = "started libvirtd by systemd"
    else:
        _start_plain()
        started = "started libvirtd"
    _wait(LIBVIRTD)
    return started


def _open_kvm() -> None:
    """Give /dev/kvm to the group kvm where no udev does it, as Debian's rule for QEMU says.

    Left to root alone, libvirtd (root) finds KVM usable and QEMU (another user) does not: the daemon then throws its
    knowledge of QEMU away and probes it again at every call, 4 to 50 s each (measured).
    """
    device = Path("/dev/kvm")
    if not device.exists() or Path("/run/udev").is_dir() or stat.S_IMODE(device.stat().st_mode) & 0o066:
        return
    try:
        os.chown(device, -1, grp.getgrnam("kvm").gr_gid)
    except KeyError:
        return
    device.chmod(0o660)


def answers(path: Path) -> bool:
    """Whether somebody listens on a UNIX socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _start_plain() -> None:
    """Without systemd. virtlogd first: libvirtd asks it to keep the guests' logs."""
    if not answers(VIRTLOGD):
        run(["virtlogd", "-d"], why="could not start virtlogd", timeout_s=PATIENCE_S)
        _wait(VIRTLOGD)
    subprocess.Popen(
        [sys.executable, str(REAPER), "libvirtd", "-d"],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not answers(path):
        if time.monotonic() > deadline:
            raise SetupError(f"nothing answers on {path} {PATIENCE_S:.0f} s after its daemon was started; see its log")
        time.sleep(0.05)
