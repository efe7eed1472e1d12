"""A PostgreSQL of the tests' own: made in a folder of its own, on a unix socket there, ended by its own process."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

START_S, END_S = 60.0, 30.0
USER = "postgres"
"""Who runs it where the tests run as root, as whom it does not run."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Gives the URL of a new empty database. The server starts with the first test that needs it."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: `make setup` installs Debian's package")
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    folder = Path(tempfile.mkdtemp(prefix="jvp-pg-", dir="/tmp"))  # the path of a socket has 107 letters
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam(USER)
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        os.chown(folder, user.pw_uid, user.pw_gid)
    data, log = folder / "data", folder / "log"
    initdb = [programs / "initdb", "-D", data, "-U", "jvp", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/", **who)
    options = {"unix_socket_directories": folder, "listen_addresses": "", "fsync": "off", "max_connections": "60"}
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    with log.open("wb") as into:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, *settings], stdout=into, stderr=into, cwd="/", **who
        )
    base = f"host={folder} user=jvp dbname=postgres"

    def database() -> str:
        name = f"jvp{secrets.token_hex(4)}"
        with psycopg.connect(base, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://jvp@/{name}?host={folder}"

    try:
        _wait(lambda: psycopg.connect(base).close(), process, log, psycopg.OperationalError)
        yield database
    finally:
        process.send_signal(signal.SIGINT)  # it ends its sessions, too
        process.wait(END_S)
        shutil.rmtree(folder)


def _programs() -> Path | None:
    """Debian keeps those of a server apart from the path, by versions."""
    if (found := shutil.which("postgres")) is not None:
        return Path(found).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(versions, key=lambda path: int(path.parent.name), default=None)


def _wait(connect: Callable[[], None], process: subprocess.Popen[bytes], log: Path, refused: type[Exception]) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            return connect()
        except refused:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
