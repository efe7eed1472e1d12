"""Schemas, validate, plan, apply and read over real gRPC, as hosts call them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gadget import Host
from pulumi_rpc import within
from terraform_rpc import Applied, Engine, Said, said

from jvp.core.errors import NameTaken
from jvp.core.identity import Mark
from jvp.core.values import UNKNOWN
from jvp.doors.terraform.diagnostics import importable

GADGET = "jvp_gadget"
LIMIT_S = 60
SECRET = "hunter22"


def errors(engine: Engine, given: dict[str, Any]) -> list[tuple[tuple[Any, ...], str]]:
    """The path and the sentence of each failure."""
    return [(one.path, one.detail) for one in engine.failures(GADGET, {"name": "a", **given})]


# Schemas


def test_metadata_and_schemas_name_the_same(unconfigured: Engine) -> None:
    told = unconfigured.ask("GetMetadata")
    answer = unconfigured.ask("GetProviderSchema")
    assert {one.type_name for one in told.resources} == set(answer.resource_schemas) == {GADGET, "jvp_trinket"}
    assert {one.type_name for one in told.data_sources} == set(answer.data_source_schemas) == {GADGET, "jvp_trinket"}
    assert told.server_capabilities.get_provider_schema_optional
    assert not unconfigured.ask("GetResourceIdentitySchemas").diagnostics
    assert not unconfigured.ask("GetFunctions").diagnostics


def test_who_sets_what_is_told(unconfigured: Engine) -> None:
    block = unconfigured.block(GADGET)
    assert block["name"].required
    assert (block["size"].optional, block["size"].computed) == (True, True)
    assert (block["uuid"].settable, block["uuid"].computed) == (False, True)
    assert {name for name, one in block.items() if one.sensitive} == {"password", "password_wo", "serial"}
    slots = block["slots"].nested
    assert block["slots"].is_list
    assert slots is not None
    assert slots["name"].required


# Validate


# A path leads as far as a host follows it to a line, and the sentence names it whole.
@pytest.mark.parametrize(
    ("given", "path", "sentence"),
    [
        ({"speed": 0}, ("speed",), "speed: must be at least 1, not 0"),
        ({"size": "big"}, ("size",), 'size: "big" is not a size; write it with a unit: "512MiB", "20GiB", "1.5TB"'),
        ({"slots": [{"name": "a"}, {"name": "b", "mac": "zz"}]}, ("slots", 1),
         'slots[1].mac: "zz" is not a MAC address; write it like "52:54:00:12:34:56"'),
        ({"slots": [{}]}, ("slots", 0), "slots[0].name: is required"),
        ({"slots": [None]}, ("slots", 0), "slots[0]: must not be null; leave it out"),
        ({"rack": {"room": "r", "labels": ["x", None]}}, ("rack", ["labels"]),
         "rack.labels[1]: must not be null; leave it out"),
        ({"rack": {"room": "r", "side": "up"}}, ("rack", ["side"]),
         "rack.side: must be one of 'left' or 'right', not \"up\""),
        ({"tags": {"a b": None}}, ("tags", ["a b"]), "tags.a b: must not be null; leave it out"),
        ({"tags": {"a b": 3}}, ("tags", ["a b"]), "tags.a b: must be a string, not 3"),
        ({"speed": 12, "mode": "slow"}, ("speed",), "speed: is too fast for a slow gadget"),
        ({"timeouts": {"create": "soon"}}, ("timeouts", ["create"]),
         'timeouts.create: "soon" is not a duration; write it with units: "90s", "5m", "1h30m"'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_sentence_at_its_path(
    unconfigured: Engine, given: dict[str, Any], path: Any, sentence: str
) -> None:
    assert errors(unconfigured, given) == [(path, sentence)]


@pytest.mark.parametrize("value", ["x", UNKNOWN])
@pytest.mark.parametrize("name", ["uuid", "id", "serial"])
def test_what_can_only_be_read_is_not_set(unconfigured: Engine, name: str, value: Any) -> None:
    sentence = f"{name}: is told by the provider and cannot be set; leave it out"
    assert errors(unconfigured, {name: value}) == [((name,), sentence)]
    (wrong,) = unconfigured.failures("data.jvp_trinket", {"name": "a", "size_bytes": 3})
    assert wrong.detail == "size_bytes: is told by the provider and cannot be set; leave it out"
    (wrong,) = unconfigured.failures("data.jvp_gadget", {"name": "a", "serial": value})
    assert wrong.detail == "serial: is told by the provider and cannot be set; leave it out"


def test_all_failures_are_told_at_once_and_quote_no_secret(unconfigured: Engine) -> None:
    found = unconfigured.failures(GADGET, {"name": "a", "mode": "y", "size": "z", "password": 12345678})
    assert [one.path for one in found] == [("size",), ("mode",), ("password",)]
    assert {one.title for one in found} == {"Invalid value"}
    assert "12345678" not in str(found)


@pytest.mark.parametrize("refined", [False, True])
def test_what_is_not_known_yet_is_not_wrong(unconfigured: Engine, refined: bool) -> None:
    engine = replace(unconfigured, refined=refined)
    unknown = {"speed": UNKNOWN, "slots": [UNKNOWN, {"name": UNKNOWN}], "rack": UNKNOWN, "tags": {"a": UNKNOWN}}
    assert errors(engine, {**unknown, "timeouts": {"create": UNKNOWN}}) == []


def test_a_resource_that_does_not_exist_is_named_with_those_that_do(unconfigured: Engine) -> None:
    for method in ("ValidateResourceConfig", "UpgradeResourceState", "ValidateDataResourceConfig"):
        (wrong,) = said(unconfigured.ask(method, type_name="jvp_gizmo"))
        there = 'this version of jvp has no resource "jvp_gizmo"; there are: jvp_gadget, jvp_trinket'
        assert (wrong.title, wrong.detail) == ("Invalid value", there)


# Settings


def test_settings_are_checked_with_their_path(unconfigured: Engine) -> None:
    wrong = {"virt_type": "xen", "timeouts": {"create": "soon"}}
    config = unconfigured.filled("provider", wrong)
    found = said(unconfigured.ask("ValidateProviderConfig", config=config))
    assert [one.path for one in found] == [("virt_type",), ("timeouts", ["create"])]
    assert [one.path for one in unconfigured.configure(**wrong)] == [("virt_type",), ("timeouts", ["create"])]


def test_nothing_but_schemas_and_checks_works_before_the_settings(unconfigured: Engine) -> None:
    (wrong,) = said(unconfigured.planning(GADGET, {"name": "a"}))
    assert wrong == Said("Refused", "the provider is not configured yet")


def test_settings_that_are_known_later_let_a_plan_be_made(unconfigured: Engine) -> None:
    unknown = {"uri": UNKNOWN, "owner": UNKNOWN, "virt_type": UNKNOWN, "timeouts": {"create": UNKNOWN}}
    assert unconfigured.configure(**unknown) == []
    planned = unconfigured.plan(GADGET, {"name": "a", "timeouts": {"create": UNKNOWN}})
    assert unconfigured.configure(**{**unknown, "timeouts": UNKNOWN}) == []
    planned = unconfigured.plan(GADGET, {"name": "a"})
    assert planned.state is not None
    after = Applied(
        GADGET, {**planned.state, **dict.fromkeys(("uuid", "id", "serial", "weather", "state"), "x")}, b"", [], []
    )
    read = unconfigured.read(after)
    assert read.state == after.state
    assert [one.title for one in read.warnings] == ["Not refreshed"]


# Create


def test_a_plan_knows_what_can_be_known(terraform: Engine, host: Host) -> None:
    planned = terraform.plan(GADGET, {"name": "a", "size": "2048MiB", "home": UNKNOWN, "slots": [{"name": "s"}]})
    state = planned.state
    assert state is not None
    assert (state["size"], state["size_bytes"], state["mode"]) == ("2048MiB", 2 * 2**30, "fast")
    assert state["home"] is UNKNOWN
    assert state["uuid"] is UNKNOWN
    assert state["id"] is UNKNOWN
    assert state["slots"] == [{"name": "s", "mac": UNKNOWN, "note": None}]
    assert state["unfinished"] == []
    assert host.calls == []


def test_what_follows_from_something_unknown_is_unknown(terraform: Engine) -> None:
    planned = terraform.plan(GADGET, {"name": "a", "size": UNKNOWN, "rack": {"room": UNKNOWN}})
    assert planned.state is not None
    assert planned.state["size_bytes"] is UNKNOWN
    assert planned.state["corner"] is UNKNOWN


def test_create_read_update_delete(terraform: Engine, host: Host) -> None:
    given = {"name": "a", "size": "1024MiB", "slots": [{"name": "s", "mac": "52:54:00:AB:00:01"}], "password": SECRET}
    made = terraform.create(GADGET, given)
    assert made.state is not None
    assert (made.state["size"], made.state["slots"][0]["mac"]) == ("1024MiB", "52:54:00:AB:00:01")
    assert made.state["id"] == made.state["uuid"] == host.keys[0].uuid(0)
    assert made.state["password"] == SECRET
    assert terraform.read(made).state == made.state

    planned = terraform.plan(GADGET, {**given, "size": "3GiB", "password": None}, made)
    assert planned.state is not None
    assert (planned.state["size_bytes"], planned.state["uuid"]) == (3 * 2**30, made.state["uuid"])
    assert not planned.replaces
    after = terraform.done(planned)
    assert after.state is not None
    assert (after.state["size_bytes"], after.state["password"]) == (3 * 2**30, None)

    assert terraform.done(terraform.plan_delete(after)).state is None
    assert host.gadgets == {}
    assert terraform.read(after).state is None
    assert terraform.done(terraform.plan_delete(after)).state is None


def test_the_key_is_owner_host_and_name(terraform: Engine, host: Host) -> None:
    terraform.create(GADGET, {"name": "a"})
    (key,) = host.keys
    assert (key.owner, key.kind, key.address, key.label) == ("me", "Gadget", "the-host/a", "a")


@pytest.mark.parametrize("owner", [None, ""])
def test_without_an_owner_the_folder_and_its_workspace_are_it(
    unconfigured: Engine, host: Host, owner: str | None
) -> None:
    assert unconfigured.configure(owner=owner) == []
    unconfigured.create(GADGET, {"name": "a"})
    assert host.keys[0].owner.startswith("tf-")


def test_a_number_that_no_machine_has_comes_back_as_it_was(terraform: Engine) -> None:
    state = terraform.create(GADGET, {"name": "a", "speed": str(10**30)}).state
    assert state is not None
    assert int(state["speed"]) == 10**30


# Plans of updates


def test_the_same_meaning_and_another_order_plan_nothing(terraform: Engine) -> None:
    slots = [{"name": "a", "mac": "52:54:00:00:00:0a"}, {"name": "b", "note": "x"}]
    made = terraform.create(GADGET, {"name": "a", "size": "1GiB", "slots": slots, "tags": {}})
    other = [{"name": "b", "note": "x"}, {"name": "a", "mac": "52:54:00:00:00:0A"}]
    assert terraform.plan(GADGET, {"name": "a", "size": "1024MiB", "slots": other}, made).is_nothing


def test_a_change_beside_another_spelling_takes_the_new_spelling(terraform: Engine) -> None:
    made = terraform.create(GADGET, {"name": "a", "slots": [{"name": "a", "mac": "52:54:00:00:00:0a"}]})
    slots = [{"name": "b"}, {"name": "a", "mac": "52:54:00:00:00:0A", "note": "new"}]
    after = terraform.update(made, {"name": "a", "slots": slots})
    assert after.state is not None
    assert [one["name"] for one in after.state["slots"]] == ["b", "a"]
    assert after.state["slots"][1]["mac"] == "52:54:00:00:00:0A"
    assert terraform.plan(GADGET, {"name": "a", "slots": slots}, terraform.read(after)).is_nothing


def test_only_what_replaces_is_named(terraform: Engine) -> None:
    made = terraform.create(GADGET, {"name": "a", "home": "here", "speed": 1})
    planned = terraform.plan(GADGET, {"name": "b", "home": "there", "speed": 2}, made)
    assert (sorted(planned.paths), planned.replaces) == ([("home",), ("name",)], True)
    unknown = terraform.plan(GADGET, {"name": "a", "home": UNKNOWN, "speed": 1}, made)
    assert (unknown.paths, unknown.replaces) == ([("home",)], True)
    assert terraform.plan(GADGET, {"name": "a", "home": "here", "speed": 2}, made).paths == []


def test_a_replacement_makes_another_object(terraform: Engine, host: Host) -> None:
    made = terraform.create(GADGET, {"name": "a", "home": "here"})
    assert terraform.plan(GADGET, {"name": "a", "home": "there"}, made).replaces
    terraform.done(terraform.plan_delete(made))
    assert terraform.create(GADGET, {"name": "a", "home": "there"}).state is not None
    assert len(host.gadgets) == 1


def test_what_does_not_happen_at_once_is_a_warning_in_the_words_of_the_configuration(terraform: Engine) -> None:
    made = terraform.create(GADGET, {"name": "a", "speed": 1, "act": "run"})
    planned = terraform.plan(GADGET, {"name": "a", "speed": 2, "act": "run"}, made)
    assert [one.detail for one in planned.warnings] == ["speed: takes effect at the next power cycle"]
    planned = terraform.plan(GADGET, {"name": "a", "speed": 1, "act": "run", "home": "there"}, made)
    assert [(one.title, one.detail) for one in planned.warnings] == [
        ('Before you apply this: "a"', 'gadget "a" is running; it is deleted and made anew')
    ]


def test_what_the_host_says_is_a_warning_without_secrets(terraform: Engine) -> None:
    planned = terraform.plan(GADGET, {"name": "a", "act": "grumble", "password": SECRET})
    assert [one.detail for one in planned.warnings] == ["gadgets like [secret] do not like this"]


def test_drift_is_read_and_mended(terraform: Engine, host: Host) -> None:
    given = {"name": "a", "speed": 3, "slots": [{"name": "s", "note": "x"}]}
    made = terraform.create(GADGET, given)
    assert made.state is not None
    there = host.gadgets[made.state["uuid"]]
    there["speed"] = 4
    there["slots"] = [there["slots"][0].model_copy(update={"note": "changed"})]
    read = terraform.read(made)
    assert read.state is not None
    assert (read.state["speed"], read.state["slots"][0]["note"]) == (4, "changed")
    after = terraform.update(read, given)
    assert after.state == made.state


def test_damage_that_no_attribute_shows_is_in_the_plan_and_mended(terraform: Engine, host: Host) -> None:
    made = terraform.create(GADGET, {"name": "a"})
    assert made.state is not None
    host.damaged.add(made.state["uuid"])
    planned = terraform.plan(GADGET, {"name": "a"}, terraform.read(made))
    assert not planned.is_nothing
    after = terraform.done(planned)
    assert after.state == made.state
    assert host.damaged == set()
    assert terraform.plan(GADGET, {"name": "a"}, after).is_nothing


def test_what_moves_by_itself_between_plan_and_apply_is_told_by_the_next_read(terraform: Engine, host: Host) -> None:
    made = terraform.create(GADGET, {"name": "a"})
    planned = terraform.plan(GADGET, {"name": "a", "size": "2GiB"}, made)
    host.weather = "rain"
    after = terraform.done(planned)
    assert after.state is not None
    assert after.state["weather"] is None
    read = terraform.read(after)
    assert read.state is not None
    assert read.state["weather"] == "rain"
    assert terraform.plan(GADGET, {"name": "a", "size": "2GiB"}, read).is_nothing


# What goes wrong in an apply


def applied(engine: Engine, given: dict[str, Any], after: Applied | None = None) -> Applied:
    return engine.apply(engine.plan(GADGET, given, after))


def test_an_unfinished_object_is_in_the_state_and_the_next_plan_goes_on(terraform: Engine) -> None:
    given = {"name": "a", "act": "partial", "password": SECRET}
    made = applied(terraform, given)
    reason = "the gadget does not answer, said [secret]"
    (said,) = made.errors
    way = "to go on with it instead, run tofu untaint ADDRESS, with the address that stands above, and apply again"
    assert said.title == "The gadget is not finished"
    assert said.detail.startswith(f"{reason}; the gadget stays as it is, but the next apply would replace it: {way}")
    assert made.state is not None
    assert made.state["unfinished"] == [reason]
    again = applied(terraform, given, made)
    assert again.errors == [Said("The gadget is not finished", reason)], "after an update there is nothing to undo"
    read = terraform.read(made)
    assert read.state == made.state
    assert not terraform.plan(GADGET, given, read).is_nothing
    after = terraform.update(read, {"name": "a", "password": SECRET})
    assert after.state is not None
    assert after.state["unfinished"] == []
    assert terraform.plan(GADGET, {"name": "a", "password": SECRET}, after).is_nothing


def test_what_an_unfinished_object_tells_once_it_is_finished_is_in_the_state(terraform: Engine) -> None:
    """An address that came with the second try: nothing was changed, and the plan promises no old value of it."""
    given = {"name": "a", "act": "slow"}
    made = applied(terraform, given)
    assert made.state is not None
    assert (made.state["state"], made.state["unfinished"]) == (None, ["the gadget is not up yet"])
    after = applied(terraform, given, terraform.read(made))
    assert after.errors == []
    assert after.state is not None
    assert (after.state["state"], after.state["unfinished"]) == ("idle", [])
    assert terraform.plan(GADGET, given, terraform.read(after)).is_nothing


TITLES = {
    "invalid": "Invalid value", "missing": "Not found", "taken": "Name taken", "unreachable": "Host not reachable",
    "busy": "Busy", "full": "No space", "refused": "Refused",
}  # fmt: skip


@pytest.mark.parametrize(("act", "title"), TITLES.items())
def test_an_error_of_a_create_has_a_title_a_path_and_no_state(terraform: Engine, act: str, title: str) -> None:
    made = applied(terraform, {"name": "a", "act": act, "password": SECRET})
    assert made.errors == [Said(title, f'act: the host said "{act}" and mentioned [secret]', ("act",))]
    assert made.state is None
    assert applied(terraform, {"name": "a"}).errors == [], "the name is free again"


def test_an_error_of_an_update_keeps_the_state_before(terraform: Engine) -> None:
    made = terraform.create(GADGET, {"name": "a"})
    after = applied(terraform, {"name": "a", "act": "busy", "size": "2GiB"}, made)
    assert after.errors == [Said("Busy", 'act: the host said "busy"', ("act",))]
    assert (after.state, after.private) == (made.state, made.private)


def test_an_object_that_went_since_the_plan_is_an_error_and_stays_in_the_state(terraform: Engine, host: Host) -> None:
    made = terraform.create(GADGET, {"name": "a"})
    host.gadgets.clear()
    after = applied(terraform, {"name": "a", "size": "2GiB"}, made)
    assert after.errors == [Said("Not found", "the gadget is gone")]
    assert after.state == made.state


def test_a_defect_is_one_sentence_without_traceback_or_secret(terraform: Engine) -> None:
    (wrong,) = applied(terraform, {"name": "a", "act": "defect", "password": SECRET}).errors
    assert wrong.title == "Defect of jvp"
    assert wrong.detail.startswith("this is a defect of jvp, please report it: KeyError at gadget.py:")
    assert SECRET not in wrong.detail
    assert "\n" not in wrong.detail


def test_a_defect_of_the_door_is_told_the_same_way(terraform: Engine) -> None:
    answer = terraform.ask("PlanResourceChange", type_name=GADGET, config=[SECRET], proposed_new_state=[SECRET])
    (wrong,) = said(answer)
    assert wrong.title == "Defect of jvp"
    assert "please report it: AttributeError at values.py:" in wrong.detail
    assert SECRET not in wrong.detail


def test_two_of_one_name_are_refused_also_while_the_first_is_being_made(terraform: Engine, host: Host) -> None:
    method, values = terraform.applying(terraform.plan(GADGET, {"name": "a", "act": "wait"}))
    running = terraform.call.start(method, terraform.request(method, **values))  # type: ignore[attr-defined]
    within(LIMIT_S, lambda: host.calls)
    terraform.create(GADGET, {"name": "b"})
    for name in "ab":
        (twice,) = applied(terraform, {"name": name}).errors
        assert (twice.title, twice.path) == ("Name taken", ("name",))
        assert twice.detail == f'name: gadget "{name}" is declared twice, and is made already'
    terraform.ask("StopProvider")
    (stopped,) = said(running.result())
    assert stopped.title == "Stopped"
    assert stopped.detail == "stopped on request; run the command again and it goes on from here"


def test_what_is_made_before_the_old_one_is_deleted_is_refused_with_what_to_do(terraform: Engine) -> None:
    made = terraform.read(terraform.create(GADGET, {"name": "a", "home": "here"}))
    assert made.state is not None
    sentence = (
        'name: gadget "a" is there already, this configuration made it, and a name is there once: if the resource was '
        "given another address, apply again (a moved block would have kept it); leave out create_before_destroy, for "
        "the old one must be deleted first; or give one of two resources another name"
    )
    lost = (
        f"; if the state was lost, import it to the address that stands above: tofu import ADDRESS {made.state['id']}"
    )
    for adopt in (None, True):
        after = applied(terraform, {"name": "a", "home": "there", "adopt": adopt})
        assert after.errors == [Said("Name taken", f"{sentence}{lost}", ("name",))]
    assert terraform.read(made).state == made.state


def test_what_another_resource_has_is_not_told_to_be_imported_at_once() -> None:
    foreign = importable(NameTaken("taken; choose another name", id="x"))
    assert foreign.message.startswith("taken; choose another name, or import it to the address")
    ours = importable(NameTaken("taken; choose another name", id="x", holder=Mark("k", 0)))
    assert ours.message.startswith("taken; choose another name; if it is in no state any more, import it to the")


def test_a_resources_own_limit_ends_its_wait(terraform: Engine) -> None:
    given = {"name": "a", "act": "hang", "timeouts": {"create": "1s"}}
    made = applied(terraform, given)
    (wrong,) = made.errors
    assert wrong.title == "The gadget is not finished"
    assert wrong.detail.startswith("the gadget does not answer; ")
    assert made.state is not None
    assert made.state["timeouts"] == {"create": "1s", "update": None, "delete": None}


def test_the_providers_limit_counts_where_the_resource_has_none(unconfigured: Engine) -> None:
    assert unconfigured.configure(timeouts={"create": "1s"}) == []
    made = applied(unconfigured, {"name": "a", "act": "hang", "timeouts": {"update": "1h"}})
    (wrong,) = made.errors
    assert wrong.detail.startswith("the gadget does not answer; ")


def test_a_stop_ends_a_wait_and_keeps_what_was_made(terraform: Engine, host: Host) -> None:
    planned = terraform.plan(GADGET, {"name": "a", "act": "hang"})
    method, values = terraform.applying(planned)
    running = terraform.call.start(method, terraform.request(method, **values))  # type: ignore[attr-defined]
    within(LIMIT_S, lambda: host.gadgets)
    terraform.ask("StopProvider")
    made = terraform.applied(planned, running.result())
    assert [one.title for one in made.errors] == ["The gadget is not finished"]
    assert made.state is not None
    assert made.state["uuid"] in host.gadgets
