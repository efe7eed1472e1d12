"""Digests of local files, remembered from run to run, so that a preview does not read an image again.

One JSON file. Whatever is wrong with it, the answer is only slower: it is never trusted over the file's own
size, times and inode, and a writer who loses a race loses an entry, not the file.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from jvp.core.errors import Invalid
from jvp.core.work import Work
from jvp.images.checksum import content_digest
from jvp.images.source import open_path

_ENTRIES_MAX: Final = 500
_SETTLED_NS: Final = 2_000_000_000
"""A file changed less than this ago may change again within one tick of its clock, unseen: not remembered."""


def file_digest_cached(path: str, work: Work | None = None) -> str:
    """The `ContentDigest` of a local file. Raises NotFound, Invalid (it changes meanwhile), Cancelled."""
    store = _store()
    real = _real(path)
    with open_path(real, work or Work()) as source:
        before = _stamp(real)
        known = _load(store).get(real)
        if before is not None and isinstance(known, list) and known[:-1] == before and isinstance(known[-1], str):
            return known[-1]
        digest = content_digest(source.segments())
        if _stamp(real) != before or before is None:
            raise Invalid(f"{path} was changed while it was read; run again when nothing writes to it")
    if time.time_ns() - max(before[1], before[2]) > _SETTLED_NS:
        _save(store, real, [*before, digest])
    return digest


def _real(path: str) -> str:
    try:
        return str(Path(path).resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, a NUL: opening it says so
        return path


def _stamp(real: str) -> list[int] | None:
    """size, mtime, ctime, device, inode."""
    try:
        status = Path(real).stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino]


def _store() -> Path:
    return folder() / "digests.json"


def folder() -> Path:
    """Where this user keeps what can be had again."""
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not root.is_absolute():
        try:
            root = Path.home() / ".cache"
        except RuntimeError:  # a service without a home
            root = Path("/var/cache")
    return root / "jvp"


def _load(store: Path) -> dict[str, Any]:
    try:
        content = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    files = content.get("files") if isinstance(content, dict) and content.get("version") == 1 else None
    return files if isinstance(files, dict) else {}


def _save(store: Path, real: str, entry: list[int | str]) -> None:
    files = _load(store)
    files.pop(real, None)
    files[real] = entry  # the newest last
    while len(files) > _ENTRIES_MAX:
        del files[next(iter(files))]
    temporary = store.with_name(f".digests-{os.getpid()}-{threading.get_ident()}")
    with suppress(OSError, ValueError):
        store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps({"version": 1, "files": files}), encoding="utf-8")
            temporary.replace(store)
        finally:
            temporary.unlink(missing_ok=True)
