"""No file of the provider over 400 lines, and no function over 40: what is longer is read by nobody at once."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PROVIDER = Path(__file__).resolve().parents[1] / "provider"
FILE_LINES = 400
FUNCTION_LINES = 40


def too_long(folder: Path) -> Iterator[str]:
    """One line for each file or function of `folder` that is over its limit."""
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        place = path.relative_to(folder.parent)
        if (lines := text.count("\n")) > FILE_LINES:
            yield f"{place}: {lines} lines, and the limit is {FILE_LINES}"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    yield f"{place}:{node.lineno}: {node.name} has {length} lines, and the limit is {FUNCTION_LINES}"


def main() -> int:
    """Exit with 1 if anything is too long."""
    found = list(too_long(PROVIDER))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
