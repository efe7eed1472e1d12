"""What the registered resources and functions are to hosts of Terraform's protocol, and to both engines alike."""

from __future__ import annotations

import json
from typing import Any

import gadget
import host_rules
import pytest
from terraform_rpc import Said, said, served

from jvp.core.values import UNKNOWN
from jvp.doors.pulumi import plugin as pulumi
from jvp.doors.pulumi.session import Session
from jvp.doors.terraform import plugin, server
from jvp.resources import registry


def test_every_schema_is_one_that_hosts_take() -> None:
    answer = plugin.registered().schemas.whole
    listed = {"provider": answer.provider, **answer.resource_schemas, **answer.data_source_schemas}
    assert {"jvp_network", "jvp_instance", "jvp_storage_pool", "jvp_volume", "jvp_template"} <= set(listed)
    for name, schema in listed.items():
        block = host_rules.block_of(schema.block.attributes)
        assert host_rules.schema_errors(block) == [], name
        assert schema.block.description, name
        bare = [one.name for one in schema.block.attributes if not one.description]
        assert not bare, f"{name} tells nothing of {bare}"


def test_a_resource_and_a_function_in_the_registry_are_in_both_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"Gadget": gadget.Gadgets, "Trinket": gadget.Trinkets}
    monkeypatch.setattr(registry, "RESOURCES", {**registry.RESOURCES, **more})
    monkeypatch.setattr(registry, "FUNCTIONS", {**registry.FUNCTIONS, "getGadget": gadget.GetGadget})
    terraform = plugin.registered().schemas.whole
    assert {"jvp_gadget", "jvp_trinket", "jvp_network"} <= set(terraform.resource_schemas)
    assert {"jvp_gadget", "jvp_trinket", "jvp_network"} <= set(terraform.data_source_schemas)
    old = {
        one.name: one.description for one in terraform.resource_schemas["jvp_gadget"].block.attributes if one.deprecated
    }
    assert old == {"alias": "Another name. Deprecated: Use tags."}
    found = json.loads(pulumi.registered(Session()).schema())
    assert {"jvp:index:Gadget", "jvp:index:Trinket", "jvp:index:Network"} <= set(found["resources"])
    assert "jvp:index:getGadget" in found["functions"]
    assert found["resources"]["jvp:index:Gadget"]["inputProperties"]["alias"]["deprecationMessage"] == "Use tags."


def unknown_uri(advice: str) -> list[Said]:
    return [Said("Host not reachable", f"the provider's uri is known only after the apply{advice}")]


def test_what_needs_the_host_says_that_the_uri_is_not_known_yet_and_what_to_do() -> None:
    wait = unknown_uri("; give the data source a depends_on with what the uri comes from, and the apply reads it")
    first = "apply what the uri comes from first, with -target, or write the uri out"
    with served(server.Service(plugin.registered)) as engine:
        assert engine.configure(uri=UNKNOWN) == []
        told = engine.ask("GetMetadata")
        for one in told.data_sources:
            block = engine.block(f"data.{one.type_name}")
            given = {name: reference_to(one.type_name) for name, attribute in block.items() if attribute.required}
            assert engine.data(one.type_name, given)[1] == wait, one.type_name
        for one in told.resources:
            there = engine.imported(one.type_name, reference_to(one.type_name))
            assert there.errors == unknown_uri(f", and an import looks before; {first}"), one.type_name
        moved = engine.filled("jvp_network", {"id": "moved:x"})
        answer = engine.ask("ReadResource", type_name="jvp_network", current_state=moved)
        assert said(answer) == unknown_uri(f", and a resource that was moved is read before; {first}")


def reference_to(kind: str) -> str:
    return "a/b" if kind in ("jvp_volume", "jvp_template") else "x"


def test_what_is_filled_in_inside_an_object_is_not_set() -> None:
    given = {"name": "a", "pool": "p", "source": {"path": "/image", "digest": "0" * 64}}
    with served(server.Service(plugin.registered)) as engine:
        (wrong,) = engine.failures("jvp_template", given)
    assert wrong.detail == "source.digest: is told by the provider and cannot be set; leave it out"


def test_an_installation_that_is_not_complete_says_so() -> None:
    def broken() -> Any:
        raise ModuleNotFoundError("No module named 'lxml'")

    with served(server.Service(broken)) as engine:
        (wrong,) = said(engine.ask("GetProviderSchema"))
    assert wrong.title == "Refused"
    assert wrong.detail == "this installation of jvp is not complete: No module named 'lxml'; install pulumi-jvp again"
