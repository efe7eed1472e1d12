"""The inventory of real servers: two of them on one database, and none that needs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import psycopg
import pytest
from tests.contract import kinds
from tests.contract.conftest import Bench
from tests.contract.rest_support import Rest, server

from jvp.doors.cli.main import main
from jvp.doors.rest.app import make_app
from jvp.doors.rest.caller import PEER
from jvp.doors.rest.operations import Operations
from jvp.resources import registry
from jvp.resources.provider import Provider

Bag = dict[str, Any]


def search(rest: Rest, text: str) -> list[Bag]:
    answer = rest.ask("GET", "search", params={"text": text})
    assert answer.status_code == 200, answer.text
    found: list[Bag] = answer.json()["items"]
    return found


def listed(rest: Rest, **query: str) -> list[Bag]:
    answer = rest.ask("GET", "networks", params=query)
    assert answer.status_code == 200, answer.text
    found: list[Bag] = answer.json()["items"]
    return found


def test_two_servers_on_one_database_and_none_that_needs_it(
    bench: Bench, tmp_path: Path, postgres: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    url, raw = postgres(), kinds.network(bench, bench.name("index"))
    name, path = raw["name"], f"networks/{raw['name']}"
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    with server(folders[0], "--index", url) as one, server(folders[1], "--index", url) as other:
        one.done("PUT", path, raw)
        assert [hit["name"] for hit in search(one, name)] == [name]
        (hit,) = search(other, raw["cidr"])
        assert (hit["kind"], hit["name"], hit["cidr"], hit["declaredBy"]) == (
            "Network", name, raw["cidr"], f"rest:{one.ask('GET', path).json()['declaredBy']['label']}",
        )  # fmt: skip
        assert hit["seen"].endswith("Z")
        (item,) = listed(other, details="true", name=name)
        (hit,) = search(other, name)
        assert {key: value for key, value in hit.items() if key not in ("kind", "node", "seen")} == item
        assert main(["index", "search", name.upper(), "-o", "name", "--index", url]) == 0
        assert capsys.readouterr().out == f"{name}\n"
        one.done("DELETE", path)
        assert search(one, name) == search(other, name) == []

        # What others make a list tells, or a look at the whole node.
        theirs = kinds.foreign_network(bench, raw)
        assert search(other, name) == []
        assert main(["index", "rebuild", "--index", url]) == 0
        assert " of networks" in capsys.readouterr().out
        assert [hit["name"] for hit in search(other, name)] == [name]
        theirs.undefine()
        listed(other)
        assert search(other, name) == search(one, name) == []

        # Without its table everything works but the search, and the log tells it once.
        with psycopg.connect(url) as connection:
            connection.execute("ALTER TABLE inventory RENAME TO away")
        for _ in range(2):
            one.done("PUT", path, raw)
            listed(one)
            assert one.problem("GET", f"search?text={name}")["type"] == "urn:jvp:index"
        one.done("DELETE", path)
        assert one.log.read_text().count("the inventory is not kept: the index postgresql://jvp@/") == 1


def test_without_an_index_there_is_nothing_to_search_in() -> None:
    app = make_app(registry.objects(Provider()), Provider(), Operations())

    async def local(scope: Bag, receive: Any, send: Any) -> None:
        scope.setdefault("state", {})[PEER] = "user anna"
        await app(scope, receive, send)

    async def asked(query: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url="http://jvp") as client:
            return await client.get(f"/api/search?{query}")

    answers = [anyio.run(asked, query) for query in ("text=web", "text=", "txt=web")]
    assert [(one.status_code, one.json()["type"]) for one in answers] == [
        (409, "urn:jvp:rejected"), (400, "urn:jvp:malformed"), (422, "urn:jvp:invalid"),
    ]  # fmt: skip
