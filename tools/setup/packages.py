"""Step ``packages``: Debian packages, only those that are missing."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from tools.setup.project import SetupError, run

PACKAGES = (
    # libvirt, QEMU, and what they start
    "libvirt-daemon-system",
    "libvirt-daemon-driver-qemu",
    "libvirt-clients",
    "qemu-system-x86",
    "qemu-utils",
    "ovmf",
    "swtpm",
    "swtpm-tools",
    "dnsmasq-base",
    "iptables",
    "nftables",
    "iproute2",
    # libvirt-python is compiled at install
    "libvirt-dev",
    "pkg-config",
    "gcc",
    "binutils",
    "libc6-dev",
    # the micro guest: its bootable disk is made without mounting anything,
    "syslinux",
    "mtools",
    # and Debian's kernels are compressed in various ways
    "lz4",
    "zstd",
    # tests read cloud-init's disks with them,
    "genisoimage",
    "libarchive-tools",
    # import what virt-install makes,
    "virtinst",
    # and have libvirt format devices
    "e2fsprogs",
    "xfsprogs",
    # and keep the index in PostgreSQL
    "postgresql",
)


def packages() -> str:
    """Install what is missing; with nothing missing, one question to dpkg is all."""
    wanted = PACKAGES + _for_debian_python()
    missing = sorted(set(wanted) - _installed(wanted))
    if not missing:
        return f"{len(wanted)} Debian packages are there"
    try:
        _install(missing)
    except SetupError:
        # No package lists yet, or lists that name versions which are gone.
        run(["apt-get", "update", "-q"], why="could not read Debian's package lists", env=_environment())
        _install(missing)
    return f"installed {' '.join(missing)}"


def _for_debian_python() -> tuple[str, ...]:
    """Debian splits Python; another Python brings its own headers and venv."""
    if sys.base_prefix != "/usr":
        return ()
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return ("python3-venv",) if headers.exists() else ("python3-venv", "python3-dev")


def _installed(names: tuple[str, ...]) -> set[str]:
    # dpkg-query exits with 1 when it knows nothing of one of the names: that is an answer, not an error.
    found = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = (line.partition(" ") for line in found.stdout.splitlines())
    return {name for name, _, state in rows if state == "installed"}


def _install(names: list[str]) -> None:
    run(
        [
            "apt-get",
            "install",
            "-q",
            "-y",
            "--no-install-recommends",
            "-o",
            "DPkg::Lock::Timeout=300",
            *names,
        ],
        why="could not install Debian packages",
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
