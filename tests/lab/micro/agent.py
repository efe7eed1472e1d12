"""The QEMU guest agent with its libraries, as a second archive behind the initrd's own."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from tests.lab.micro import debian
from tests.lab.micro.initrd import Entry, archive

PACKAGE = "qemu-guest-agent"
LOADER = "lib64/ld-linux-x86-64.so.2"
LIBRARIES = "lib/x86_64-linux-gnu"


def agent(cache: Path, work: Path) -> bytes:
    """The archive, which the kernel unpacks over what the first one left."""
    for package in _closure():
        debian.unpack(package, cache, work)
    return archive(_entries(work))


def _entries(root: Path) -> Iterator[Entry]:
    for folder in ("lib64", LIBRARIES):
        yield Entry(folder, stat.S_IFDIR | 0o755)
    binary = _find(root, "qemu-ga")
    yield Entry("bin/qemu-ga", stat.S_IFREG | 0o755, binary.read_bytes())
    for name, path in sorted(_libraries(root, binary).items()):
        target = LOADER if name == Path(LOADER).name else f"{LIBRARIES}/{name}"
        yield Entry(target, stat.S_IFREG | 0o755, path.read_bytes())


def _libraries(root: Path, binary: Path) -> dict[str, Path]:
    """All that a program is linked with, by the names that its loader asks for."""
    found: dict[str, Path] = {}
    waiting = [binary]
    while waiting:
        for name in _needed(waiting.pop()):
            if name not in found:
                found[name] = _find(root, name)
                waiting.append(found[name])
    return found


def _needed(path: Path) -> list[str]:
    return re.findall(r"^\s+NEEDED\s+(\S+)$", debian.run(["objdump", "-p", path]), re.MULTILINE)


def _find(root: Path, name: str) -> Path:
    for path in root.rglob(name):
        if path.resolve().is_file():
            return path
    raise RuntimeError(f"no package of {PACKAGE} has {name}")


def _closure() -> list[str]:
    """The package and the libraries that it and they depend on; their names differ between Debian releases."""
    direct = debian.dependencies(PACKAGE)
    libraries = direct | {name for library in direct for name in debian.dependencies(library)}
    return [PACKAGE, *sorted(name for name in libraries if name.startswith("lib"))]
