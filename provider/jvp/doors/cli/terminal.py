"""Tables and progress on a terminal, drawn by rich: imported when one is drawn.

Nothing is taken for rich's markup, and what acts on a terminal stands as its escape.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Drawn
from rich.table import Column, Table
from rich.text import Text

from jvp.core.text import harmless
from jvp.core.work import Progress
from jvp.images.segments import size_text

GAP = 2
READABLE = 12
"""A column is not squeezed below this, or its head. What is wider than the terminal then is wrapped by it."""
Cell = tuple[str, str]
"""A text and its style."""


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table: what is too wide goes on in the next line of its column."""
    body = [[_text(cell) for cell in row] for row in rows]
    columns = [Column(name, overflow="fold") for name in head]
    drawn = Table(*columns, box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for row in body:
        drawn.add_row(*row)
    least = [
        max(cell_len(name), *(min(cell_len(row[at].plain), READABLE) for row in body), 0)
        for at, name in enumerate(head)
    ]
    _print(drawn, sum(least) + GAP * (len(head) - 1))


def pairs(rows: Iterable[tuple[str, Cell]]) -> None:
    """Print a line for each value, with its name."""
    drawn = Table.grid(Column(no_wrap=True, style="bold"), Column(overflow="fold"), padding=(0, GAP, 0, 0))
    least = 0
    for name, cell in rows:
        drawn.add_row(Text(harmless(name)), _text(cell))
        least = max(least, cell_len(name) + GAP + READABLE)
    _print(drawn, least)


class Bar:
    """How far a transfer is: a bar with bytes, rate and time left. `close` takes it away."""

    def __init__(self, file: TextIO) -> None:
        self._drawn = Drawn(
            TextColumn("{task.description}", markup=False), BarColumn(), _Bytes(), _Rate(), TimeRemainingColumn(),
            console=_console(file), auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._task = self._drawn.add_task("", total=None)
        self._drawn.start()

    def show(self, progress: Progress) -> None:
        """Draw it anew."""
        what = harmless(progress.what)
        self._drawn.update(
            self._task, description=what, completed=progress.done, total=progress.total, refresh=True
        )  # fmt: skip

    def close(self) -> None:
        self._drawn.stop()


class _Bytes(ProgressColumn):
    def render(self, task: Task) -> Text:
        done = size_text(task.completed)
        return Text(done if task.total is None else f"{done} of {size_text(task.total)}")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{size_text(task.speed)}/s" if task.speed else "")


def _text(cell: Cell) -> Text:
    return Text(harmless(cell[0]), cell[1])


def _print(drawn: Table, least: int) -> None:
    _console(sys.stdout, least).print(drawn, crop=False)


def _console(file: TextIO, least: int = 0) -> Console:
    """A terminal of at least that width. Source: no-color.org; TERM=dumb is a terminal without colours."""
    coloured = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    columns, lines = shutil.get_terminal_size()
    return Console(
        file=file, width=max(columns, least), height=lines, force_terminal=True,
        color_system="auto" if coloured else None, markup=False, emoji=False, highlight=False,
    )  # fmt: skip
