"""The table of the kinds of pools: it alone names them, and whoever acts asks it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jvp.core.errors import Rejected
from jvp.libvirt.storage import kinds

PROVIDER = Path(kinds.__file__).parents[2]
TABLE = Path(kinds.__file__)
WORDS = re.compile(rf"(?<![\w./<>@-])({'|'.join(sorted(kinds._KINDS))})(?![\w/<>-]|\.\w)")


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every text of a module but its docstrings, with its line."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def test_only_the_table_names_a_kind() -> None:
    named = [
        f"{path.relative_to(PROVIDER)}:{line}: {text}"
        for path in sorted(PROVIDER.rglob("*.py"))
        if path != TABLE
        for line, text in texts(ast.parse(path.read_text()))
        if WORDS.search(text)
    ]
    assert named == [], "ask the row of kinds.py instead"
    assert any(WORDS.search(text) for _, text in texts(ast.parse(TABLE.read_text())))


def test_every_kind_has_a_row_under_its_own_name() -> None:
    assert [kinds.kind_of(name).type for name in kinds._KINDS] == list(kinds._KINDS)
    assert not kinds._OTHERS & kinds._KINDS.keys()


@pytest.mark.parametrize("other", ["logical", "", None])
def test_a_pool_of_another_type_is_taken_for_a_folder(other: str | None) -> None:
    assert kinds.kind_of(other) is kinds.DIR
    assert kinds.volumes_of(other) is kinds.FILES


def test_a_row_says_where_a_volume_is_and_what_is_in_it() -> None:
    kind = kinds.DIR
    assert kind.path("/pools/a", "root") == "/pools/a/root"
    assert (kinds.folder_of("/pools/a/root"), kinds.name_of("/pools/a/root")) == ("/pools/a", "root")
    assert [kind.volumes.rounded(length) for length in (0, 1, 512, 513)] == [0, 512, 512, 1024]
    assert [kind.volumes.is_blank(taken) for taken in (0, 1024 * 1024 - 1, 1024 * 1024)] == [True, True, False]
    record = kind.volumes.records.name("root")
    assert (kind.volumes.records.is_record(record), kind.volumes.records.volume(record)) == (True, "root")


def test_what_a_kind_cannot_do_it_says_in_its_own_sentence() -> None:
    kinds.DIR.require("resize")
    stiff = kinds.DIR._replace(cannot={"resize": "volumes of this pool keep the size that they are made with"})
    with pytest.raises(Rejected, match="keep the size") as caught:
        stiff.require("resize", ("size",))
    assert caught.value.path == ("size",)
