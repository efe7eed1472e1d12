"""A token for a tag over REST: the instances that have it, and nothing else."""

from __future__ import annotations

from pathlib import Path

from tests.contract.conftest import Bench
from tests.contract.kinds import stopped
from tests.unit.doors.test_rest_roles import Caller, caller

from jvp.doors.rest.app import make_app
from jvp.doors.rest.operations import Operations
from jvp.index.store import Index
from jvp.resources import registry
from jvp.resources.provider import Provider


def test_a_token_for_a_tag_is_for_the_instances_that_have_it(bench: Bench, tmp_path: Path) -> None:
    provider, operations, index = Provider(virt_type="qemu"), Operations(), Index(f"sqlite:///{tmp_path}/jvp.db")
    app = make_app(registry.objects(provider), provider, operations, index=index)
    web, admin = caller(app, index, "operator", tags=["team=web"]), caller(app, index, "admin")
    raw = {**stopped(bench, ""), "disks": [], "nics": []}
    mine, other = ({**raw, "name": bench.name("team"), "tags": {"team": team}} for team in ("web", "db"))
    try:
        assert admin("POST", "/api/instances?wait=2m", other).status_code == 201
        for wrong in (other["tags"], {}, {"tier": "web"}, 5, ["team=web"]):
            refused = web("POST", "/api/instances?wait=2m", {**mine, "tags": wrong})
            assert (refused.status_code, refused.json()["type"]) == (403, "urn:jvp:forbidden"), wrong
        made = web("POST", "/api/instances?wait=2m", mine)
        assert made.status_code == 201, made.text
        _reads_and_changes_its_own_alone(web, bench.prefix, mine["name"], other["name"])
        assert [one["name"] for one in admin("GET", f"/api/instances?name={bench.prefix}team*").json()["items"]] == [
            mine["name"], other["name"],
        ]  # fmt: skip
        app.state.door.inventory.flush()
        for who, found in ((web, [mine["name"]]), (admin, [mine["name"], other["name"]])):
            hits = who("GET", f"/api/search?text={bench.prefix}team").json()["items"]
            assert [hit["name"] for hit in hits] == found
        (hit,) = admin("GET", f"/api/search?text=tier%3D{bench.prefix}").json()["items"]
        assert hit["tags"] == {"team": "web", "tier": bench.prefix}
        assert web("DELETE", f"/api/instances/{mine['name']}?wait=2m").status_code == 204
    finally:
        for one in (mine, other):
            admin("DELETE", f"/api/instances/{one['name']}?wait=2m")
        operations.stop(60)
        index.close()


def _reads_and_changes_its_own_alone(web: Caller, prefix: str, mine: str, other: str) -> None:
    for query in ("", "&details=false", "&tags=team", "&tags=team,team%3Dweb", "&fields=name"):
        listed = web("GET", f"/api/instances?name={prefix}team*{query}")
        assert [one["name"] for one in listed.json()["items"]] == [mine], (query, listed.text)
    assert web("GET", f"/api/instances?name={prefix}team*&tags=team,team%3Ddb").json()["items"] == []
    assert web("GET", f"/api/networks?name={prefix}*").json()["items"] == []  # nothing but instances has tags
    for method, path, body in (
        ("GET", "", None), ("PATCH", "?wait=2m", {"cpus": 2}), ("DELETE", "", None), ("POST", "/actions/start", {}),
        ("PATCH", "?wait=2m", {"tags": {"team": "web"}}),
    ):  # fmt: skip
        assert web(method, f"/api/instances/{other}{path}", body).status_code == 403, (method, path)
    assert web("GET", f"/api/instances/{mine}").json()["tags"] == {"team": "web"}
    for given in ({"team": "db"}, {"team": None}, None):
        assert web("PATCH", f"/api/instances/{mine}?wait=2m", {"tags": given}).status_code == 403, given
    changed = web("PATCH", f"/api/instances/{mine}?wait=2m", {"tags": {"tier": prefix}, "description": "ours"})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["tags"], changed.json()["description"]) == ({"team": "web", "tier": prefix}, "ours")
