"""Debian packages as a source of files: downloaded by apt, unpacked, never installed."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

KERNEL = "linux-image-cloud-amd64"


def kernel_package() -> str:
    """The package with the kernel itself, which the name without a version only depends on."""
    found = _kernel_dependency()
    if not found:
        _update()
        found = _kernel_dependency()
    if not found:
        raise RuntimeError(f"apt knows no package that {KERNEL} depends on")
    return found


def unpack(package: str, cache: Path, target: Path) -> Path:
    """Download a package into ``cache`` unless this version is there, unpack it into ``target``, return that."""
    cache.mkdir(parents=True, exist_ok=True)
    if not _download(package, cache):
        _update()
        if not _download(package, cache):
            raise RuntimeError(f"apt could not download {package}; see: apt-get download {package}")
    newest = max(cache.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
    run(["dpkg-deb", "-x", newest, target])
    return target


def run(argv: Sequence[str | Path], cwd: Path | None = None) -> str:
    """Run a command; what it printed is part of the error if it fails."""
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise RuntimeError(f"{argv[0]} ended with exit code {done.returncode}: {said[-2000:]}")
    return done.stdout


def dependencies(package: str) -> set[str]:
    """The packages that one depends on directly, alternatives left out."""
    listed = subprocess.run(
        ["apt-cache", "depends", "--important", package], capture_output=True, text=True, check=False
    ).stdout
    return {row.split()[1] for row in listed.splitlines() if row.startswith("  Depends: ") and "<" not in row}


def _kernel_dependency() -> str | None:
    return next((name for name in sorted(dependencies(KERNEL)) if name.startswith("linux-image-")), None)


def _download(package: str, cache: Path) -> bool:
    # The sandbox user of apt cannot write into our folder; without this it warns and goes on as root anyway.
    command = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package]
    return subprocess.run(command, cwd=cache, capture_output=True, check=False).returncode == 0


def _update() -> None:
    run(["apt-get", "update", "-q"])
