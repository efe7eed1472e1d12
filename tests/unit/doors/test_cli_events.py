"""`jvp events`: what happens, line by line, until Ctrl-C."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from jvp.core.happened import Happened
from jvp.doors.cli.main import main
from jvp.resources import registry

NODE = "0f477db4-deb3-4b18-9fcd-0b6db3563055"


class Watch:
    """A node on which some things happen, and then somebody presses Ctrl-C."""

    ended = 0

    def __init__(self, _settings: Any, tell: Callable[[Happened], None], gap: Callable[[str], None]) -> None:
        self._tell, self._gap = tell, gap

    def start(self) -> None:
        for kind, name, event, detail in (
            ("Instance", "web-1", "started", "booted"),
            ("Network", "lab", "defined", ""),
            ("Instance", "db", "crashed", ""),
        ):
            self._tell(Happened(kind, "an-id", name, event, detail, NODE, 1_764_547_200.0))
        self._gap("the node was not heard for a while")
        self._tell(Interrupting())  # type: ignore[arg-type]

    def stop(self) -> None:
        Watch.ended += 1


class Interrupting:
    """Ctrl-C, while an event is looked at."""

    def __getattr__(self, _name: str) -> Any:
        raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "node_events", Watch)
    monkeypatch.setattr(Watch, "ended", 0)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], str]:
    code = main(("events", *words))
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


def test_people_read_lines_and_what_may_be_missing_beside_them(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, said = run(capsys)
    assert (code, Watch.ended) == (0, 1)
    assert lines == [
        "2025-12-01T00:00:00Z  Instance     web-1  started (booted)",
        "2025-12-01T00:00:00Z  Network      lab  defined",
        "2025-12-01T00:00:00Z  Instance     db  crashed",
    ]
    assert said == "jvp: the node was not heard for a while\n"


def test_programs_read_one_object_in_each_line_of_what_they_ask_for(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, said = run(capsys, "-o", "json", "--kinds", "Instance, StoragePool", "--names", "web-*,lab")
    assert (code, said) == (0, "")
    told, gap = map(json.loads, lines)
    assert (told["name"], told["event"], told["detail"], told["node"]) == ("web-1", "started", "booted", NODE)
    assert gap == {"gap": "the node was not heard for a while"}


def test_a_kind_of_which_nothing_is_told_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, said = run(capsys, "--kinds", "Volume")
    assert (code, lines) == (2, [])
    assert said == 'jvp: kinds: "Volume" is none of Instance, Network, StoragePool\n'
