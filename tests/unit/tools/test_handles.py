"""A call of libvirt that no type stands behind is told, and a run that saw no call at all does not pass."""

from __future__ import annotations

import pytest
from tools.handles import faults

PLANTED = """
from typing import Any, cast
from jvp.libvirt.link import handles

def right(domain: handles.Domain, other: handles.Domain | None) -> str:
    return domain.name() + (other.UUIDString() if other is not None else "")

def untyped(found: Any) -> None:
    found.destroy()

def unlike(found: object) -> None:
    found.destroy()

def made(found: object) -> None:
    cast(handles.Domain, found).destroy()

def slipped(pool: handles.StoragePool) -> None:
    pool.listAllDomains()

def reached(by_name: dict[str, Any]) -> None:
    by_name["a"].XMLDesc(0)

def passed(found: Any) -> str:
    return right(found, None) + right(other=None, domain=found)

def other(bag: Any) -> str:
    return f"{bag.name} {bag.update}"
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is said of a module with one slip of each kind."""
    file = tmp_path_factory.mktemp("planted") / "planted.py"
    file.write_text(PLANTED, encoding="utf-8")
    return list(faults(str(file), folders=("planted",)))


def test_each_slip_is_told_with_its_line(told: list[str]) -> None:
    of_it = [line.partition("planted.py:")[2] for line in told if "planted.py:" in line]
    assert sorted(of_it, key=lambda line: int(line.partition(":")[0])) == [
        "9: destroy() of what has no type; annotate it with one of jvp.libvirt.link.handles",
        '12: error: "object" has no attribute "destroy"  [attr-defined]',
        "15: a cast makes a type of nothing; annotate the value where it comes from",
        '18: error: "StoragePool" has no attribute "listAllDomains"  [attr-defined]',
        "21: XMLDesc() of what has no type; annotate it with one of jvp.libvirt.link.handles",
        "24: what has no type is passed as a Domain; annotate it",
        "24: what has no type is passed as a Domain; annotate it",
    ]


def test_a_method_that_nothing_calls_is_told(told: list[str]) -> None:
    uncalled = {line.partition("nothing calls ")[2] for line in told if "nothing calls " in line}
    assert {"destroy of StoragePool", "finish of Stream", "create of Network"} <= uncalled
    assert not uncalled & {"name of Domain", "UUIDString of Domain", "destroy of Domain"}
