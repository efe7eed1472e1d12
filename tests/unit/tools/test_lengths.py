"""What is too long is said by name; what is not, is not."""

from __future__ import annotations

from pathlib import Path

from tools.lengths import FILE_LINES, FUNCTION_LINES, too_long


def test_what_is_over_its_limit_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "provider"
    folder.mkdir()
    lines = "    x = 1\n"
    (folder / "short.py").write_text(f"def fits() -> None:\n{lines * (FUNCTION_LINES - 1)}", encoding="utf-8")
    (folder / "long.py").write_text(f"def long() -> None:\n{lines * FUNCTION_LINES}", encoding="utf-8")
    (folder / "file.py").write_text("x = 1\n" * (FILE_LINES + 1), encoding="utf-8")
    assert list(too_long(folder)) == [
        "provider/file.py: 401 lines, and the limit is 400",
        "provider/long.py:1: long has 41 lines, and the limit is 40",
    ]
