"""Modules that are put off, and what is made later: nothing before it is asked for, and then as if never put off."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jvp.core.later import Lazily, Once, put_off


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with a module `heavy`, which counts in the package how often it is loaded."""
    folder = tmp_path / "jvp_later_toy"
    folder.mkdir()
    (folder / "__init__.py").write_text("loaded = []\n")
    (folder / "heavy.py").write_text("import jvp_later_toy\njvp_later_toy.loaded.append(1)\nword = 'yes'\n")
    (folder / "broken.py").write_text("raise ImportError('as told')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
        del sys.modules[name]


def test_an_import_loads_nothing_and_a_question_does(package: str) -> None:
    put_off(f"{package}.heavy")
    toy = importlib.import_module(package)
    heavy = importlib.import_module(f"{package}.heavy")
    names: dict[str, object] = {}
    exec(f"from {package} import heavy", names)
    assert (toy.loaded, names["heavy"]) == ([], heavy)
    assert (heavy.word, toy.loaded) == ("yes", [1])
    assert sys.modules[f"{package}.heavy"] is toy.heavy is not heavy
    assert (heavy.word, toy.heavy.word, toy.loaded) == ("yes", "yes", [1])


def test_many_threads_load_it_once(package: str) -> None:
    put_off(f"{package}.heavy")
    heavy = importlib.import_module(f"{package}.heavy")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: heavy.word, range(64))) == ["yes"] * 64
    assert importlib.import_module(package).loaded == [1]


def test_what_is_loaded_stays(package: str) -> None:
    heavy = importlib.import_module(f"{package}.heavy")
    put_off(f"{package}.heavy")
    assert sys.modules[f"{package}.heavy"] is heavy


def test_a_submodule_of_what_was_put_off_is_found(package: str) -> None:
    put_off(package)
    assert importlib.import_module(f"{package}.heavy").word == "yes"


def test_an_error_comes_each_time(package: str) -> None:
    put_off(f"{package}.broken")
    broken = importlib.import_module(f"{package}.broken")
    for _ in range(2):
        with pytest.raises(ImportError, match="as told"):
            _ = broken.word


def test_a_value_is_made_when_it_is_asked_for_and_once() -> None:
    made: list[str] = []

    def make(name: str) -> str:
        made.append(name)
        return name.upper()

    found = Lazily(("a", "b"), make)
    assert (list(found), len(found), "a" in found, "c" in found, made) == (["a", "b"], 2, True, False, [])
    assert (found["b"], found["b"], found.get("c"), made) == ("B", "B", None, ["b"])
    assert ([*found.items()], made) == ([("a", "A"), ("b", "B")], ["b", "a"])


def test_what_cannot_be_made_is_tried_again() -> None:
    made: list[int] = []

    def make() -> int:
        made.append(1)
        if len(made) == 1:
            raise OSError("not now")
        return len(made)

    once = Once(make)
    with pytest.raises(OSError, match="not now"):
        once()
    assert (once(), once()) == (2, 2)


def test_a_module_is_loaded_while_another_thread_makes_something(package: str) -> None:
    """That one may be waiting for what this one is importing."""
    put_off(f"{package}.heavy")
    heavy = importlib.import_module(f"{package}.heavy")

    def make() -> str:
        with ThreadPoolExecutor(1) as pool:
            return str(pool.submit(lambda: heavy.word).result(timeout=30))

    assert Once(make)() == "yes"
