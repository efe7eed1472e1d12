"""The OpenAPI document: valid, described, with examples that can be sent, and a client can be made from it."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.contract import kinds
from tests.contract.conftest import Bench
from tests.contract.rest_support import Rest, server

from jvp.doors.rest.examples import EXAMPLES
from jvp.resources import registry

Json = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rest")


@pytest.fixture(scope="module")
def rest(folder: Path) -> Iterator[Rest]:
    with server(folder, "--listen", "127.0.0.1:0") as found:
        yield found


@pytest.fixture(scope="module")
def document(rest: Rest) -> Json:
    found: Json = rest.ask("GET", "openapi.json").json()
    return found


def calls(document: Json) -> Iterator[Json]:
    for path in document["paths"].values():
        yield from path.values()


def test_the_document_is_valid(document: Json) -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="openapi-spec-validator is not installed")
    assert document["openapi"].startswith("3.1.")
    validator.validate(document)


def test_everything_has_a_name_of_its_own_and_a_description(document: Json) -> None:
    ids = [call["operationId"] for call in calls(document)]
    assert len(ids) == len(set(ids))
    bare = [call["operationId"] for call in calls(document) if not call.get("summary")]
    bare += [
        f"{call['operationId']} {one['name']}"
        for call in calls(document)
        for one in call.get("parameters", ())
        if not one.get("description") and one["name"] != "id"
    ]
    schemas = document["components"]["schemas"]
    bare += [
        f"{name}.{inner}"
        for name, schema in schemas.items()
        for inner, facts in schema.get("properties", {}).items()
        if not facts.get("description")
    ]
    assert bare == []


def test_units_and_marks_come_from_the_models(document: Json) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Instance"]["properties"]["memory"]["x-unit"]
    assert schemas["User"]["properties"]["password"]["writeOnly"] is True
    assert "password" not in json.dumps(
        schemas["InstanceObject"]["properties"].get("cloudInit", {}).get("properties", {})
    )
    for token, kind in registry.TYPES.items():
        told = schemas[f"{token}Object"]["properties"]
        outputs = kind.state.model_fields.keys() - kind.spec.model_fields.keys()
        assert outputs, token
        assert not any(facts.get("writeOnly") for facts in told.values()), token


def test_the_examples_can_be_sent(bench: Bench, rest: Rest, document: Json) -> None:
    """As they are, but for names and places that only this run has. An image is not fetched here: it is planned."""
    assert EXAMPLES.keys() == registry.TYPES.keys()
    stem = bench.name("eg")
    raw = json.loads(json.dumps(EXAMPLES).replace('"lab"', f'"{stem}"').replace("lab/data", f"{stem}/data"))
    raw["StoragePool"]["path"] = f"{bench.folder}/{stem}"
    raw["Network"]["cidr"] = bench.cidr()
    raw["Firewall"]["name"] = f"{stem}-fw"
    raw["Instance"]["name"] = raw["Snapshot"]["instance"] = f"{stem}-web"
    paths = {}
    for call, path in ((call, path) for path, found in document["paths"].items() for call in found.values()):
        if call["operationId"].startswith("create"):
            token = call["operationId"].removeprefix("create")
            paths[token] = path.removeprefix("/api/")
            assert call["requestBody"]["content"]["application/json"]["example"] == EXAMPLES[token]
    made = []
    for token in ("StoragePool", "Network", "Firewall", "Template", "Volume", "Instance", "Snapshot"):
        plan = rest.ask("POST", paths[token], raw[token], params={"plan": "true"})
        assert plan.status_code == 200, plan.text
        if token != "Template":
            made.append(f"{paths[token]}/{rest.done('POST', paths[token], raw[token])['id']}")
    for path in reversed(made):
        rest.done("DELETE", path)


def test_a_client_made_from_it_creates_waits_and_deletes(
    bench: Bench, rest: Rest, document: Json, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = pytest.importorskip("openapi_python_client.cli", reason="openapi-python-client is not installed")
    from typer.testing import CliRunner

    (tmp_path / "openapi.json").write_text(json.dumps(document))
    # This generator knows bytes under that type alone.
    words = "post_hooks: []\ncontent_type_overrides:\n  image/png: application/octet-stream\n"
    (tmp_path / "config.yml").write_text(words)
    made = CliRunner().invoke(
        generator.app,
        ["generate", "--path", str(tmp_path / "openapi.json"), "--config", str(tmp_path / "config.yml"),
         "--meta", "none", "--output-path", str(tmp_path / "jvp_made")],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    assert "Warning" not in made.output, made.output
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        raw = {**kinds.running(bench, bench.name("made")), "waitFor": "ip", "waitTimeout": "3s"}
        client_module = importlib.import_module("jvp_made.client")
        socket = {"transport": httpx.HTTPTransport(uds=str(folder / "jvp.sock"))}
        _create_wait_delete(client_module.Client(base_url="http://jvp", httpx_args=socket), raw)
        _each_role(client_module, rest, raw)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "jvp_made"]:
            del sys.modules[name]
        shutil.rmtree(tmp_path / "jvp_made")


def part(name: str) -> Any:
    return importlib.import_module(f"jvp_made.{name}")


def _each_role(client_module: Any, rest: Rest, raw: Json) -> None:
    """Over TCP an operator does the same; a viewer, and who has no token, is refused and changes nothing."""
    base = re.search(r"http://127\.0\.0\.1:\d+", rest.log.read_text())
    assert base is not None
    texts = {
        role: rest.ask("POST", "tokens", {"subject": role, "role": role}).json()["token"]
        for role in ("operator", "viewer")
    }
    clients = {role: client_module.AuthenticatedClient(base_url=base[0], token=text) for role, text in texts.items()}
    clients["nobody"] = client_module.Client(base_url=base[0])
    models, body = part("models"), part("models").Instance.from_dict(raw)
    for who, status in (("viewer", 403), ("nobody", 401)):
        with clients[who] as client:
            for refused in (
                part("api.instances.create_instance").sync(client=client, body=body),
                part("api.instances.delete_instance").sync(raw["name"], client=client),
            ):
                assert isinstance(refused, models.Problem)
                assert refused.status == status
    with client_module.AuthenticatedClient(base_url=base[0], token=texts["viewer"]) as client:
        assert isinstance(part("api.instances.list_instances").sync(client=client), models.ListInstancesResponse200)
    _create_wait_delete(clients["operator"], raw)


def _create_wait_delete(client: Any, raw: Json) -> None:
    models, operations = part("models"), part("api.operations.read_operation")
    with client:
        body = models.Instance.from_dict(raw)
        begun = part("api.instances.create_instance").sync(client=client, body=body)
        assert isinstance(begun, models.Operation)
        end = operations.sync(begun.id, client=client, wait="2m")
        assert end.state in ("succeeded", "failed"), end  # no system runs in it that would take an address
        read = part("api.instances.read_instance").sync(raw["name"], client=client)
        assert isinstance(read, models.InstanceObject)
        plan = part("api.instances.delete_instance").sync(raw["name"], client=client, plan=True)
        assert isinstance(plan, models.Plan)
        gone = part("api.instances.delete_instance").sync_detailed(
            raw["name"], client=client, shutdown_timeout="1s", wait="1m"
        )
        assert gone.status_code == 204
        missing = part("api.instances.read_instance").sync(raw["name"], client=client)
        assert isinstance(missing, models.Problem)
        assert missing.status == 404
