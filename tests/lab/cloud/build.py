"""Builds the cloud image from Debian's packages, once per state of this file: two minutes, and root."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab.micro.build import ROOT
from tests.lab.micro.build import sha256 as digest_of
from tests.lab.micro.debian import run

CMDLINE = "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 mitigations=off"
"""The disk is one file system without a boot loader: the kernel is started directly."""
FILES = ("vmlinuz", "initrd", "cloud.qcow2")
SIZE = "2G"
PACKAGES = (
    "linux-image-cloud-amd64", "initramfs-tools", "lz4", "systemd", "systemd-sysv", "udev", "dbus", "cloud-init",
    "qemu-guest-agent", "openssh-server", "iproute2", "systemd-resolved", "e2fsprogs", "procps", "netbase",
    "cloud-guest-utils",
)  # fmt: skip
TUNE = r"""
set -eu
: >/etc/machine-id; : >/etc/fstab; echo lab >/etc/hostname; rm -f /etc/ssh/ssh_host_*
printf "datasource_list: [ NoCloud, None ]\nlocale: false\nssh_genkeytypes: [ed25519]\n" \
    >/etc/cloud/cloud.cfg.d/90_lab.cfg
printf 'policy: search,found=all,maybe=none,notfound=disabled\n' >/etc/cloud/ds-identify.cfg
systemctl -q enable systemd-networkd systemd-resolved ssh
systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer systemd-networkd-wait-online.service getty@tty1.service systemd-timesyncd.service
"""
"""What a guest under emulation need not do; what is published does the rest of this, too."""


@dataclass(frozen=True)
class Image:
    """Where the built image lies, with the kernel and initrd that start it."""

    directory: Path
    built: bool

    @property
    def disk(self) -> Path:
        return self.directory / "cloud.qcow2"

    @property
    def kernel(self) -> dict[str, str]:
        """As `directKernel` wants it."""
        return {
            "kernel": str(self.directory / "vmlinuz"),
            "initrd": str(self.directory / "initrd"),
            "cmdline": CMDLINE,
        }


def folder() -> Path:
    """Where it is built, unless told elsewhere."""
    return Path(os.environ.get("JVP_CLOUD_DIR") or ROOT / "build" / "cloud")


def found() -> Image | None:
    """The image that was built from this state of this file."""
    place = folder()
    stamp = place / "stamp"
    fresh = stamp.exists() and stamp.read_text(encoding="ascii") == _key()
    return Image(place, built=False) if fresh and all((place / name).exists() for name in FILES) else None


def build() -> Image:
    """Build it, or return the one that is there. Raises RuntimeError with what a command printed."""
    if (image := found()) is not None:
        return image
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    (place / "stamp").unlink(missing_ok=True)
    _need("mmdebstrap", "e2fsprogs")
    with tempfile.TemporaryDirectory(dir=place, prefix="work-") as made:
        root = Path(made) / "root"
        _debootstrap(root)
        run(["chroot", root, "sh", "-c", TUNE])
        for pattern, name in (("vmlinuz-*", "vmlinuz"), ("initrd.img-*", "initrd")):
            shutil.copyfile(next((root / "boot").glob(pattern)), place / name)
        _disk(root, Path(made) / "raw", place / "cloud.qcow2")
    for name in FILES:
        (place / name).chmod(0o644)
    (place / "stamp").write_text(_key(), encoding="ascii")
    return Image(place, built=True)


def _debootstrap(root: Path) -> None:
    """The packages, from where this machine has its own."""
    initramfs = "MODULES=list\\nCOMPRESS=lz4\\nBUSYBOX=n\\n"
    modules = "virtio_pci\\nvirtio_blk\\next4\\n"
    hook = (
        'mkdir -p "$1"/etc/initramfs-tools/conf.d && '
        f'printf "{initramfs}" >"$1"/etc/initramfs-tools/conf.d/lab && '
        f'printf "{modules}" >"$1"/etc/initramfs-tools/modules'
    )
    sources = next(path for path in map(Path, ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"))
                   if path.exists())  # fmt: skip
    run([
        "mmdebstrap", "--mode=root", "--variant=apt", "--format=dir", "--aptopt=Acquire::Languages \"none\"",
        "--aptopt=APT::Install-Recommends \"false\"", "--dpkgopt=force-unsafe-io",
        "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*", f"--setup-hook={hook}", f"--include={','.join(PACKAGES)}",
        _suite(), root, sources,
    ])  # fmt: skip


def _suite() -> str:
    """The release of this machine."""
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("VERSION_CODENAME="))


def _disk(root: Path, raw: Path, target: Path) -> None:
    """One ext4 over the whole disk, written without mounting it."""
    run(["truncate", "-s", SIZE, raw])
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-E", "root_owner=0:0", "-d", root, raw])
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", "compat=1.1", raw, target])


def _need(*packages: str) -> None:
    """Install what building needs and this machine lacks."""
    run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages])


def _key() -> str:
    return digest_of(Path(__file__))
