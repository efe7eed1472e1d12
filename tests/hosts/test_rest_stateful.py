"""Requests that follow each other, as the document's links have it: what was made is read, changed, acted on, deleted.

`make test` tries some scenarios, always the same ones; `make test-all` thousands of requests.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import hypothesis
import hypothesis.errors
import pytest
from tests import extent
from tests.contract.rest_support import Rest, server

from hosts.daemon import SystemHost
from hosts.test_rest_fuzz import ALLOWED, ask, furnish, tame

pytestmark = pytest.mark.contract
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

STEPS = 8
TRIES = 3
FEW, MANY = 15, 300
"""Scenarios of so many steps at most."""


def test_what_was_made_can_be_gone_on_with(node: SystemHost) -> None:
    folder = node.folder / "server"
    folder.mkdir()
    with server(folder, "--uri", node.uri) as rest:
        furnish(rest, node)
        seen = run(rest, node)
        text = rest.log.read_text()
    assert "defect" not in text
    assert "Traceback" not in text
    whole = extent.everything()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE") if whole else ("[A-Z]+",):
        assert any(re.fullmatch(rf"{method} linked 20\d", one) for one in seen), seen
    assert sum(seen.values()) >= (2000 if whole else FEW), seen


def better(case: Any, node: SystemHost, name: str) -> list[str]:
    """Have a change be a likely one; where that makes something new."""
    kind = case.path.removeprefix("/api/")
    bodies: dict[str, dict[str, Any]] = {
        "storage-pools": {"path": str(node.pools / name)},
        "networks": {"mode": "isolated"},
        "volumes": {"pool": "lab", "size": "1MiB"},
        "instances": {"memory": "32MiB", "powerState": "stopped", "rootDisk": {"pool": "lab", "size": "1MiB"}},
    }
    if "{ref}" in kind:
        case.query, case.headers = {"wait": "30s"}, {}
        if case.method != "DELETE":
            case.body = {}
    if kind not in bodies:
        return []
    case.body, case.query, case.headers = {"name": name, **bodies[kind]}, {"wait": "30s"}, {}
    return [f"{kind}/{'lab/' if kind == 'volumes' else ''}{name}"]


def run(rest: Rest, node: SystemHost) -> Counter[str]:
    """Whether each call was made with what an earlier answer told, and its status."""
    from schemathesis.core.transport import Response
    from schemathesis.specs.openapi import checks

    document = rest.ask("GET", "openapi.json").json()
    del document["paths"]["/api/events"]  # it ends when its listener goes
    schema = schemathesis.openapi.from_dict(document)
    ours = [checks.response_schema_conformance, checks.content_type_conformance, checks.status_code_conformance]
    seen, faults = Counter[str](), list[str]()

    class Scenario(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.steps, self.made = 0, list[str]()

        def teardown(self) -> None:
            for path in reversed(self.made):
                rest.ask("DELETE", path, params={"force": "true", "wait": "30s"})

        def call(self, case: Any, **_: Any) -> Any:
            tame(case, node, aimed=False)
            self.steps += 1
            is_linked = "{" in case.path
            if case.method != "GET" and self.steps % 4:  # the others are as they were made up
                self.made += better(case, node, f"s{self.steps}")
            answer = ask(rest, case)
            seen[f"{case.method} {'linked' if is_linked else 'first'} {answer.status_code}"] += 1
            return Response.from_any(answer)

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            told = f"{case.as_curl_command()}: {response.status_code} {response.text[:500]}"
            try:
                assert response.status_code < 500 or response.status_code in ALLOWED, told
                case.validate_response(response, checks=ours)
            except BaseException:
                faults.append(told)
                raise

    settings = hypothesis.settings(
        max_examples=extent.rounds(FEW, MANY), stateful_step_count=STEPS, database=None, deadline=None,
        phases=[hypothesis.Phase.generate], suppress_health_check=[*hypothesis.HealthCheck], derandomize=True,
    )  # fmt: skip
    for _ in range(TRIES):
        try:
            Scenario.run(settings=settings)
            break
        except hypothesis.errors.FlakyStrategyDefinition:
            assert not faults, faults  # else a busy node was just slower than the first time: 202, where it said 200
    return seen
