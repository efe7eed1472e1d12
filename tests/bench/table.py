"""One row for each figure: a value, the floor that was measured in the same run, and whether the aim holds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """`aim` is in the value's unit, stretched to this machine; None where there is none. What counts is the ratio."""

    name: str
    value: float
    unit: str
    aim: float | None = None
    floor: float | None = None
    floor_name: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None

    @property
    def holds(self) -> bool:
        """Nothing is missed where there is no aim."""
        return self.aim is None or self.value <= self.aim

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "holds": self.holds}


def timed(call: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    start = time.monotonic()
    call()
    return time.monotonic() - start


def show(rows: Iterable[Row]) -> None:
    """The table on stdout."""
    print(f"{'':52} {'ratio':>6} {'value':>9} {'aim':>9} {'floor':>9}       holds")
    for row in rows:
        ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
        floor = f"{row.floor:.4g}" if row.floor is not None else ""
        aim = f"{row.aim:.4g}" if row.aim is not None else ""
        numbers = f"{ratio:>6} {row.value:>9.4g} {aim:>9} {floor:>9} {row.unit:4}"
        holds = "" if row.aim is None else "yes" if row.holds else "NO"
        print(f"{row.name:52} {numbers}  {holds:3}  {'; '.join(filter(None, (row.floor_name, row.note)))}")


def save(rows: Iterable[Row], path: Path) -> None:
    """The same for programs."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([row.document() for row in rows], indent=1) + "\n")
