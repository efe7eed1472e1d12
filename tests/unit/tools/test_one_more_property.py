"""A property that is added to a model is in every schema, in the SDK and on the pages, once `make schema` has run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.contract.one_more_property import asked, copied
from tests.unit.core.test_core_tree import BusType
from tools import gen_sdk

from jvp.doors.pulumi import schema as pulumi

SCRIPT = """
import json
from jvp.doors.pulumi.schema import text
from jvp.doors.terraform.schema import resource
from jvp.resources import registry
from tools import gen_docs, gen_pulumi_docs

kinds = registry.TYPES.values()
pages = {**gen_docs.pages(), **gen_pulumi_docs.pages()}
print(json.dumps({
    "schema": text(kinds, registry.FUNCTIONS.values()),
    "attributes": [one.name for one in resource(registry.TYPES["Network"]).block.attributes],
    "pages": {str(path): page for path, page in pages.items()},
}))
"""


def test_the_generators_show_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "provider").mkdir()
    made = asked(copied(tmp_path / "provider"), "-c", SCRIPT)
    assert '"nameService"' in made["schema"]
    assert "name_service" in made["attributes"]
    pages = {path for path, page in made["pages"].items() if "nameService" in page or "name_service" in page}
    assert {Path(path).stem for path in pages} >= {"network"}
    assert len(pages) >= 2
    schema = tmp_path / "schema.json"
    schema.write_text(made["schema"], encoding="utf-8")
    monkeypatch.setattr(gen_sdk, "SCHEMA", schema)
    sdk = gen_sdk.generate(tmp_path)
    assert "def name_service(" in (sdk / "pulumi_jvp" / "network.py").read_text(encoding="utf-8")


def test_a_map_of_objects_is_one_in_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(pulumi.schema([BusType], [])), encoding="utf-8")
    monkeypatch.setattr(gen_sdk, "SCHEMA", schema)
    text = (gen_sdk.generate(tmp_path) / "pulumi_jvp" / "bus.py").read_text(encoding="utf-8")
    assert "Mapping[str, pulumi.Input['BusSeatArgs']]" in text
