"""The database: opened by its URL, and brought to this version's tables.

Two servers may share one. SQLite is in WAL mode, so that readers and the writer do not wait for each other.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from jvp.core.errors import Invalid, Rejected, Unreachable
from jvp.core.text import sentence

BUSY_MS = 10_000
"""So long a writer of SQLite waits for another one."""
DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_LIMITS = {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 30_000}
"""A server that is gone without a word is given up. Source: libpq, the parameters of a connection."""
_MIGRATION_LOCK = 6_271_965_105
"""Any number, the same for all servers: one of them migrates, the others wait. Source: PostgreSQL, advisory locks."""


def default_url() -> str:
    """`JVP_INDEX`, else a file: where systemd says, in `/var/lib/jvp` for root, in the state folder for others."""
    given = os.environ.get("JVP_INDEX")
    if given:
        return given
    service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if service or os.geteuid() == 0:
        return f"sqlite:///{service or '/var/lib/jvp'}/jvp.db"
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111 - never fails
    return f"sqlite:///{state}/jvp/jvp.db"


class Index:
    """An open database. Safe to use from many threads. Raises Unreachable where it does not answer."""

    def __init__(self, url: str) -> None:
        """Open it, and bring an older one to this version.

        Raises Invalid for what is no URL of a database that we know, Rejected for tables of a newer version, or for a
        file that cannot be made.
        """
        known = _known(url)
        self.url = _shown(known)
        """The URL without what is secret in it."""
        self._engine = _engine(known)
        # What only reads takes no lock of SQLite's.
        self._readers = self._engine.execution_options(jvp_reads=True)
        try:
            with self._errors():
                _upgrade(self._engine)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction that may write: kept at the end, undone by an error."""
        with self._errors(), Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that writes nothing, and waits for no writer."""
        with self._errors(), Session(self._readers, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all connections. Again: nothing happens."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:  # a key that is taken: whoever writes it knows what that means
            raise
        except SQLAlchemyError as error:
            lines = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()
            raise Unreachable(sentence(f"the index {self.url} does not answer: {lines[0]}")) from None


def _known(given: str) -> URL:
    """Raises Invalid."""
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise Invalid("is no URL of a database; it looks like sqlite:////var/lib/jvp/jvp.db", path=("index",)) from None
    driver = DRIVERS.get(url.get_backend_name())
    if driver is None:
        kind = sentence(url.get_backend_name())
        raise Invalid(f'"{kind}" is no database that the index can be in: sqlite or postgresql', path=("index",))
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise Invalid("names no file; it looks like sqlite:////var/lib/jvp/jvp.db", path=("index",))
    return url.set(drivername=driver)


def _shown(url: URL) -> str:
    """A URL as it may be told. Its query may hold a password, too."""
    return url.set(drivername=url.get_backend_name(), query={}).render_as_string(hide_password=True)


def _engine(url: URL) -> Engine:
    """Raises Rejected."""
    if url.get_backend_name() == "postgresql":
        limits = {name: value for name, value in _LIMITS.items() if name not in url.query}
        return create_engine(url, pool_pre_ping=True, connect_args=limits)
    assert url.database is not None
    _make_file(Path(url.database))
    engine = create_engine(url)
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _make_file(path: Path) -> None:
    """A file that its user alone reads. Raises Rejected."""
    try:
        # Pools lie in the same folder, and QEMU goes through it; the file alone is private.
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
            if os.geteuid() == 0:  # where a service has its state, the file is that service's
                folder = path.parent.stat()
                os.chown(path, folder.st_uid, folder.st_gid)
    except OSError as error:
        raise Rejected(f'the index "{path}" cannot be made: {error.strerror}') from None


def _set_up(connection: Any, _record: object) -> None:
    # Python's driver would begin a transaction by itself, and late: at the first line that writes.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    # What was answered is kept through a power cut, too.
    connection.execute("PRAGMA synchronous=FULL")
    end = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:  # the change of the mode does not wait for others by itself
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _begin(connection: Connection) -> None:
    # Who reads first and writes then finds that another one wrote meanwhile, and is refused at once: so it locks first.
    reads = connection.get_execution_options().get("jvp_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _upgrade(engine: Engine) -> None:
    """Bring the tables to this version, alone. Raises Rejected for those of a newer one."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        heads = MigrationContext.configure(connection).get_current_heads()
        if heads == (scripts.get_current_head(),):
            return
        if {*heads} - {one.revision for one in scripts.walk_revisions()}:
            raise Rejected("the index was made by a newer version of jvp; install that version, or take another index")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
