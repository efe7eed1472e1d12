"""The index: its tables, its tokens, and what it says where it cannot be used."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from jvp.core.errors import Invalid, JvpError, NotFound, Rejected, Unreachable
from jvp.index import store, tokens
from jvp.index.store import Index, default_url
from jvp.index.tables import Base, InventoryRow


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state/jvp.db"
    made: str = request.getfixturevalue("postgres")()
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "jvp.db"


@pytest.fixture
def index(url: str) -> Iterator[Index]:
    found = Index(url)
    yield found
    found.close()


def test_the_migrations_make_the_tables_of_the_models(index: Index) -> None:
    with index.session() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_what_was_written_is_there_when_it_is_opened_again(index: Index, url: str) -> None:
    token, words = tokens.create(index, "ci", "viewer")
    other = Index(url)
    assert tokens.verify(other, words) == token
    other.close()


def test_an_error_undoes_what_was_written(index: Index) -> None:
    def write() -> None:
        with index.session() as session:
            session.add(InventoryRow(node="n", kind="Instance", id="i", name="web", item={}, words="web", seen=1.0))
            session.flush()
            raise NotFound("on the way")

    with pytest.raises(NotFound):
        write()
    with index.reading() as session:
        assert session.query(InventoryRow).count() == 0


def test_a_token_is_taken_as_it_was_made_and_its_text_is_nowhere(index: Index) -> None:
    scope = {"kinds": ["Instance"], "tags": ["ci"]}
    token, words = tokens.create(index, "ci", "operator", scope=scope, expires_s=60)
    again = tokens.verify(index, words)
    assert again is not None
    assert (again.subject, again.role, again.scope, again.once) == ("ci", "operator", scope, False)
    assert again.used is None
    (listed,) = tokens.all_of(index)
    assert (listed.id, listed.state) == (token.id, "valid")
    assert listed.used is not None
    secret = words.split("_", 2)[2]  # which may have a _ in it
    with index.reading() as session:
        row = session.execute(text("SELECT * FROM tokens")).one()
    assert secret not in repr(row)
    assert secret not in repr(token)


def test_what_is_no_token_any_more_is_none(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    _, words = tokens.create(index, "ci", "viewer", expires_s=60)
    assert tokens.verify(index, words[:-1] + ("A" if words[-1] != "A" else "B")) is None
    assert tokens.verify(index, f"{words}\0") is None
    assert tokens.verify(index, "") is None
    with monkeypatch.context() as later:
        now = tokens.time.time()
        later.setattr(tokens.time, "time", lambda: now + 61)
        assert tokens.verify(index, words) is None
        assert [one.state for one in tokens.all_of(index)] == ["expired"]
    token, words = tokens.create(index, "ci", "viewer")
    tokens.revoke(index, token.id)
    assert tokens.verify(index, words) is None
    with pytest.raises(NotFound, match=token.id):
        tokens.revoke(index, token.id)


def test_a_token_for_once_is_taken_once_by_many_at_once(index: Index) -> None:
    _, words = tokens.create(index, "join", "viewer", once=True)
    at_once, found = threading.Barrier(8), list[object]()

    def take() -> None:
        at_once.wait()
        found.append(tokens.verify(index, words))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len([one for one in found if one is not None]) == 1
    assert [one.state for one in tokens.all_of(index)] == ["used"]


def test_a_token_that_can_be_none_is_refused(index: Index) -> None:
    for subject, role, scope, path in (
        ("", "viewer", {}, "subject"), ("a\nb", "viewer", {}, "subject"), ("a" * 201, "viewer", {}, "subject"),
        ("ci", "root", {}, "role"), ("ci", "viewer", {"pools": ["a"]}, "scope.pools"),
    ):  # fmt: skip
        with pytest.raises(Invalid, match=f"^{path}: must be"):
            tokens.create(index, subject, role, scope=scope)
    assert tokens.all_of(index) == []


def test_one_of_a_newer_version_is_left_alone(index: Index, url: str) -> None:
    with index.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Rejected, match="newer version of jvp"):
        Index(url)
    with index.reading() as session:
        assert session.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"


@pytest.mark.parametrize(
    "given",
    ["postgresql://jvp:sesame@127.0.0.1:1/jvp", "postgresql://jvp@127.0.0.1:1/jvp?password=sesame",
     "postgres://jvp:sesame@127.0.0.1:1/jvp"],
)  # fmt: skip
def test_one_that_does_not_answer_is_one_sentence_without_the_password(given: str) -> None:
    with pytest.raises(Unreachable, match=r"the index postgres\S+ does not answer: ") as caught:
        Index(given)
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [("jvp.db", "is no URL of a database"), ("mysql://a/b", '"mysql" is no database'), ("sqlite://", "names no file"),
     ("sqlite:///:memory:", "names no file"), ("http://sesame@host:port/", "is no URL")],
)  # fmt: skip
def test_what_is_no_url_is_refused(given: str, said: str) -> None:
    with pytest.raises(Invalid, match=f"^index: {said}") as caught:
        Index(given)
    assert "sesame" not in str(caught.value)


def test_the_file_is_its_users_alone_and_what_is_no_database_is_told(tmp_path: Path, file: Path) -> None:
    index = Index(f"sqlite:///{file}")
    with index.session():
        for path in file.parent.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    index.close()
    (tmp_path / "text").write_text("this is no database" * 100)
    for path in (tmp_path / "text", tmp_path, tmp_path / "text" / "below"):
        with pytest.raises(JvpError, match=str(path)):
            Index(f"sqlite:///{path}")


def test_a_writer_of_sqlite_waits_for_another_one_and_a_reader_does_not(file: Path) -> None:
    index = Index(f"sqlite:///{file}")
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE tokens SET used = 1")
    ended = threading.Timer(0.3, other.commit)
    ended.start()
    with index.reading() as session:
        assert session.query(InventoryRow).count() == 0
    tokens.create(index, "ci", "viewer")
    ended.join()
    other.close()
    index.close()


def test_a_token_is_taken_where_the_index_cannot_be_written_and_one_for_once_is_not(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BUSY_MS", 10)
    index = Index(f"sqlite:///{file}")
    token, words = tokens.create(index, "ci", "viewer")
    _, once = tokens.create(index, "join", "viewer", once=True)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert tokens.verify(index, words) == token
    with pytest.raises(Unreachable):
        tokens.verify(index, once)
    other.close()
    index.close()


def test_where_it_is_unless_something_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JVP_INDEX", "STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_url() == "sqlite:////var/lib/jvp/jvp.db"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/anna")
    assert default_url() == "sqlite:////home/anna/.local/state/jvp/jvp.db"
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_url() == "sqlite:////state/jvp/jvp.db"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/jvp:/var/lib/more")
    assert default_url() == "sqlite:////var/lib/jvp/jvp.db"
    monkeypatch.setenv("JVP_INDEX", "postgresql:///jvp")
    assert default_url() == "postgresql:///jvp"
