"""A parser that gets its options when it is to parse: a start pays for the command that was typed alone."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


class Parser(argparse.ArgumentParser):
    """What argparse has, and `fill`, which adds the options. Options are written whole."""

    def __init__(self, *arguments: Any, fill: Callable[[Parser], None] | None = None, **named: Any) -> None:
        named.setdefault("allow_abbrev", False)
        super().__init__(*arguments, **named)
        self._fill = fill

    def filled(self) -> Parser:
        """Itself, with its options. Again: as good as once."""
        fill, self._fill = self._fill, None
        if fill is not None:
            fill(self)
        return self

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.filled()
        return super().parse_known_args(args, namespace)
