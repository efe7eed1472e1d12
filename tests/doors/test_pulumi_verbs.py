"""Check, Diff, Create, Read, Update, Delete, List and Invoke over real gRPC."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from gadget import Host
from pulumi_rpc import TYPE, URN, Client, Engine, refusal, unfinished

from jvp.core.values import UNKNOWN, Secret
from jvp.doors.pulumi.protocol import DIFF_NONE, DIFF_SOME, DISABLE, ENFORCE, PROPOSE
from jvp.doors.pulumi.wire import ASSET, PRIVATE, RESOURCE, SIGNATURE, decode

ADD, ADD_REPLACE, DELETE, DELETE_REPLACE, UPDATE, UPDATE_REPLACE = range(6)


# Check


def test_check_returns_what_was_set_with_spelling_secrets_and_unknowns(provider: Client) -> None:
    news = {
        "size": "1024MiB",
        "home": UNKNOWN,
        "password": Secret("hunter22"),
        "slots": [{"name": "a", "mac": UNKNOWN}],
    }
    inputs = provider.check(news)
    assert inputs["size"] == "1024MiB"
    assert inputs.keys() == news.keys()
    assert inputs["home"] is UNKNOWN
    assert inputs["slots"][0]["mac"] is UNKNOWN
    assert inputs["password"] == Secret("hunter22")


@pytest.mark.parametrize(
    ("news", "said"),
    [
        ({"speed": "quick"}, ("speed", 'must be a whole number, not "quick"')),
        ({"speed": "1\n2"}, ("", r'speed: must be a whole number, not "1\n2"')),
        ({"speed": "x" * 9000}, ("", 'speed: must be a whole number, not "xxx')),
        ({"slots": [{"name": "a", "mac": "zz"}]}, ("", 'slots[0].mac: "zz" is not a MAC address')),
        ({"slots": [{}]}, ("", "slots[0].name: is required")),
        ({"sizes": "1GiB"}, ("sizes", 'there is no property "sizes"; did you mean "size"?')),
        ({"speed": 12, "mode": "slow"}, ("speed", "is too fast for a slow gadget")),
        ({"tags": {SIGNATURE: ASSET, "path": "x"}}, ("", "tags: takes no asset")),
        ({"tags": {SIGNATURE: "who knows"}}, ("", "tags: is of a kind that this provider does not know")),
    ],
)
def test_wrong_inputs_are_failures_with_their_path(provider: Client, news: dict[str, Any], said: Any) -> None:
    ((where, reason),) = provider.failures(news)
    assert (where, reason.startswith(said[1])) == (said[0], True), reason


def test_a_failure_at_a_secret_names_no_property_for_the_engine_would_print_it(provider: Client) -> None:
    ((where, reason),) = provider.failures({"speed": Secret("hunter22")})
    assert where == ""
    assert reason.startswith("speed: must be a whole number")


def test_a_failure_quotes_no_secret(provider: Client) -> None:
    long = "a-secret-" * 20
    wrong = {
        "mode": Secret("hunter22"), "speed": Secret(12345), "size": Secret(long), "password": 12345678,
        "slots": Secret([{"name": "a", "mac": "hunter22"}]),
    }  # fmt: skip
    said = provider.failures(wrong)
    assert len(said) == 4  # a whole number is a speed
    text = str(said)
    assert not any(one in text for one in ("hunter22", "a-secret-a", "12345678"))
    assert all(where == "" for where, _ in said)


def test_all_failures_are_told_at_once(provider: Client) -> None:
    assert len(provider.failures({"speed": "x", "mode": "y", "size": "z"})) == 3


def test_keys_of_engines_are_no_properties(provider: Client) -> None:
    inputs = provider.check({"__defaults": ["size"], "__internal": {}, "size": "2GiB"})
    assert inputs["size"] == "2GiB"
    assert not any(name.startswith("__") for name in inputs)


def test_a_reference_to_a_resource_is_its_id(provider: Client) -> None:
    reference = {SIGNATURE: RESOURCE, "urn": "urn:x", "id": "the-id"}
    assert provider.check({"home": reference})["home"] == "the-id"
    assert provider.check({"home": {**reference, "id": ""}})["home"] is UNKNOWN
    assert provider.check({"home": {SIGNATURE: RESOURCE, "urn": "urn:x"}})["home"] == "urn:x"


def test_a_type_that_does_not_exist_is_named_with_those_that_do(provider: Client) -> None:
    code, text = refusal(lambda: provider("Check", type="jvp:index:Gizmo", news={}))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text == 'this version of jvp has no resource "jvp:index:Gizmo"; there are: jvp:index:Gadget'


def test_the_type_is_in_the_urn_for_engines_that_send_no_type(provider: Client) -> None:
    assert not provider("Check", type="", news={}).failures


# Names


@pytest.mark.parametrize("mode", [PROPOSE, ENFORCE])
def test_a_configured_pattern_names(provider: Client, mode: int) -> None:
    asked = {"proposed_name": "thing-1234", "mode": mode}
    assert provider.check({}, autonaming=asked)["name"] == "thing-1234"
    assert provider.check({"name": "mine"}, autonaming=asked)["name"] == "mine"
    assert provider.check({}, {"name": "before"}, autonaming=asked)["name"] == "before"


def test_by_default_the_name_is_left_to_the_core(provider: Client, host: Host) -> None:
    _, inputs, outputs = provider.create({})
    assert "name" not in inputs
    assert outputs["name"].startswith("thing-")


def test_without_autonaming_a_name_is_required(provider: Client) -> None:
    asked = {"mode": DISABLE}
    failure = ("", "name: is required, because autonaming is disabled by pulumi:autonaming")
    assert provider.failures({}, autonaming=asked) == [failure]
    assert provider.failures({"name": "mine"}, autonaming=asked) == []


# Create


def test_create_answers_the_state_and_asks_for_a_refresh_before_updates(provider: Client, host: Host) -> None:
    inputs = provider.check({"size": "2GiB", "slots": [{"name": "a"}]})
    reply = provider("Create", properties=inputs)
    outputs = decode(reply.properties)
    assert reply.refresh_before_update
    assert outputs["sizeBytes"] == 2 * 2**30
    assert outputs["slots"][0]["mac"] == "52:54:00:00:00:00"
    assert isinstance(outputs["serial"], Secret)
    assert outputs["mode"] == "fast"
    assert outputs[PRIVATE]["schema"] == 2
    assert reply.id == host.keys[0].uuid(0)


def test_an_older_engine_is_not_asked_to_refresh(fresh: Client) -> None:
    fresh("Handshake", engine_address="")
    fresh("Configure", args={})
    assert not fresh("Create", properties=fresh.check({})).refresh_before_update


@pytest.mark.parametrize("adopt", [False, True])
def test_a_second_one_for_the_same_resource_is_told_what_a_forced_replacement_needs(
    provider: Client, adopt: bool
) -> None:
    provider("Configure", args={"adopt": adopt})
    uuid, inputs, _ = provider.create({"name": "mine"})
    code, text = refusal(lambda: provider("Create", properties=inputs))
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert text == (
        f"name: the gadget that has it already, with the id {uuid}, was made for this very resource; a forced "
        "replacement (--replace, a taint) needs delete_before_replace=True in the resource's options, for a name is "
        f"there once; if it is in no state any more, import it: pulumi import {TYPE} thing {uuid}"
    )


def test_the_key_is_the_urn_without_the_own_type(provider: Client, host: Host) -> None:
    provider("Configure", args={"owner": "me"})
    urn = f"urn:pulumi:dev::shop::my:index:Rack$my:index:Row${TYPE}::a::b"
    provider("Create", urn=urn, properties={})
    (key,) = host.keys
    assert (key.owner, key.kind, key.label) == ("me", "Gadget", "a::b")
    assert key.address == "urn:pulumi:dev::shop::my:index:Rack$my:index:Row::a::b"


def test_a_preview_knows_what_can_be_known(provider: Client, host: Host) -> None:
    inputs = provider.check({"size": "2GiB", "home": UNKNOWN, "password": Secret("hunter22")})
    outputs = decode(provider("Create", properties=inputs, preview=True).properties)
    assert outputs["sizeBytes"] == 2 * 2**30
    assert outputs["size"] == "2GiB"
    assert outputs["home"] is UNKNOWN
    assert outputs["uuid"] is UNKNOWN
    assert outputs["password"] == Secret("hunter22")
    assert host.calls == []


def test_unfinished_keeps_the_state_until_an_update_finishes(provider: Client, host: Host) -> None:
    inputs = provider.check({"act": "partial", "password": Secret("hunter22")})
    with pytest.raises(grpc.RpcError) as raised:
        provider("Create", properties=inputs)
    kept = unfinished(raised.value)
    reason = "the gadget does not answer, said [secret]"
    assert (list(kept.reasons), kept.refresh_before_update) == ([reason], True)
    assert decode(kept.inputs)["password"] == Secret("hunter22")
    state = decode(kept.properties)
    assert state["uuid"] == kept.id

    # The engine reads before the next update. Were this read fine, no update would follow.
    with pytest.raises(grpc.RpcError) as raised:
        provider("Read", id=kept.id, properties=state, inputs=inputs)
    again = unfinished(raised.value)
    assert (again.id, list(again.reasons)) == (kept.id, [reason])
    assert decode(again.properties) == state

    news = provider.check({"password": Secret("hunter22")}, inputs)
    reply = provider("Update", id=kept.id, olds=state, old_inputs=inputs, news=news)
    assert "unfinished" not in decode(reply.properties)[PRIVATE]
    assert provider("Read", id=kept.id, properties=decode(reply.properties), inputs=news).id == kept.id


def test_a_large_unfinished_state_arrives(provider: Client) -> None:
    inputs = provider.check({"act": "partial", "tags": {"big": "x" * 200_000}})
    with pytest.raises(grpc.RpcError) as raised:
        provider("Create", properties=inputs)
    assert len(decode(unfinished(raised.value).properties)["tags"]["big"]) == 200_000


# Diff


def plan(provider: Client, before: dict[str, Any], after: dict[str, Any], **more: Any) -> Any:
    object_id, inputs, outputs = provider.create(before)
    news = provider.check(after, inputs)
    return provider("Diff", id=object_id, olds=outputs, old_inputs=inputs, news=news, **more)


def entries(reply: Any) -> dict[str, int]:
    return {path: entry.kind for path, entry in reply.detailedDiff.items()}


def test_the_same_meaning_is_no_change(provider: Client) -> None:
    reply = plan(provider, {"size": "1GiB", "slots": [{"name": "a"}]}, {"size": "1024MiB", "slots": [{"name": "a"}]})
    assert (reply.changes, reply.hasDetailedDiff, entries(reply)) == (DIFF_NONE, True, {})


def test_changes_are_told_by_path_and_kind(provider: Client) -> None:
    before = {"size": "1GiB", "speed": 3, "slots": [{"name": "a"}, {"name": "b", "note": "x"}], "tags": {"k": "v"}}
    after = {"size": "2GiB", "slots": [{"name": "a", "note": "y"}, {"name": "b"}, {"name": "c"}], "tags": {"k": "v"}}
    reply = plan(provider, before, after)
    assert reply.changes == DIFF_SOME
    assert entries(reply) == {
        "size": UPDATE, "speed": DELETE, "slots[0].note": ADD, "slots[1].note": DELETE, "slots[2]": ADD,
    }  # fmt: skip
    assert sorted(reply.diffs) == ["size", "slots", "speed"]
    assert list(reply.replaces) == []
    assert "uuid" in reply.stables
    assert "name" in reply.stables
    assert "sizeBytes" not in reply.stables


def test_a_replacement_deletes_first(provider: Client) -> None:
    reply = plan(provider, {"home": "here"}, {"home": "there", "name": "new"})
    assert entries(reply) == {"home": UPDATE_REPLACE, "name": UPDATE_REPLACE}
    assert sorted(reply.replaces) == ["home", "name"]
    assert reply.deleteBeforeReplace
    assert list(reply.stables) == []


def test_a_list_item_that_went_and_one_that_came_are_one_update(provider: Client) -> None:
    reply = plan(provider, {"slots": [{"name": "a"}]}, {"slots": [{"name": "b"}]})
    assert entries(reply) == {"slots[0]": UPDATE}


def test_an_unknown_value_is_a_change(provider: Client) -> None:
    assert entries(plan(provider, {"home": "here"}, {"home": UNKNOWN})) == {"home": UPDATE_REPLACE}


def test_a_secret_that_changed_is_a_change(provider: Client) -> None:
    assert entries(plan(provider, {"password": Secret("one1")}, {"password": Secret("two2")})) == {"password": UPDATE}


def test_drift_is_seen_and_ignored_changes_are_not(provider: Client, host: Host) -> None:
    object_id, inputs, outputs = provider.create({"slots": [{"name": "a", "note": "x"}], "speed": 3})
    host.gadgets[object_id]["speed"] = 4
    host.gadgets[object_id]["slots"] = [host.gadgets[object_id]["slots"][0].model_copy(update={"note": "changed"})]
    read = provider("Read", id=object_id, properties=outputs, inputs=inputs)
    now = {"olds": decode(read.properties), "old_inputs": decode(read.inputs), "news": inputs}
    assert now["old_inputs"]["speed"] == 4
    assert entries(provider("Diff", id=object_id, **now)) == {"speed": UPDATE, "slots[0].note": UPDATE}
    ignored = provider("Diff", id=object_id, ignoreChanges=["speed", "slots[*].note"], **now)
    assert (ignored.changes, entries(ignored)) == (DIFF_NONE, {})


# Read


def test_a_refresh_returns_inputs_and_properties_that_do_not_differ(provider: Client) -> None:
    object_id, inputs, outputs = provider.create({"size": "1024MiB", "password": Secret("hunter22")})
    read = provider("Read", id=object_id, properties=outputs, inputs=inputs)
    assert (read.id, read.refresh_before_update) == (object_id, True)
    assert decode(read.properties) == outputs
    assert decode(read.inputs) == inputs


def test_gone_is_an_empty_answer(provider: Client, host: Host) -> None:
    object_id, inputs, outputs = provider.create({})
    host.gadgets.clear()
    read = provider("Read", id=object_id, properties=outputs, inputs=inputs)
    assert (read.id, read.HasField("properties")) == ("", False)


@pytest.mark.parametrize("empty", [{}, {"properties": {}, "inputs": {}}, {"properties": {"size": None, "act": "x"}}])
def test_an_import_has_the_id_alone_and_returns_inputs(provider: Client, empty: dict[str, Any]) -> None:
    object_id, _, _ = provider.create({"name": "mine", "size": "2GiB"})
    read = provider("Read", id="mine", **empty)
    assert read.id == object_id
    assert decode(read.inputs)["size"] == "2GiB"
    outputs = decode(read.properties)
    assert outputs[PRIVATE]["imported"] is True
    # What the program does not set is not managed; what it sets is set, also to the default.
    olds = {"olds": outputs, "old_inputs": decode(read.inputs)}
    assert provider("Diff", id=object_id, news=provider.check({"name": "mine"}), **olds).changes == DIFF_NONE
    plan = provider("Diff", id=object_id, news=provider.check({"name": "mine", "size": "1GiB"}), **olds)
    assert list(plan.detailedDiff) == ["size"]


def test_an_import_of_nothing_names_what_there_is(provider: Client) -> None:
    provider.create({"name": "mine"})
    code, text = refusal(lambda: provider("Read", id="yours"))
    assert (code, text) == (grpc.StatusCode.NOT_FOUND, 'there is no gadget "yours"; there are: mine')


# Update and Delete


def test_update_returns_the_new_state(provider: Client) -> None:
    object_id, inputs, outputs = provider.create({"size": "1GiB"})
    news = provider.check({"size": "3GiB"}, inputs)
    reply = provider("Update", id=object_id, olds=outputs, old_inputs=inputs, news=news)
    assert decode(reply.properties)["sizeBytes"] == 3 * 2**30
    assert reply.refresh_before_update


def test_a_preview_of_an_update_keeps_what_stays(provider: Client, host: Host) -> None:
    object_id, inputs, outputs = provider.create({"size": "1GiB"})
    news = provider.check({"size": "1GiB", "home": UNKNOWN, "speed": 4}, inputs)
    reply = provider("Update", id=object_id, olds=outputs, old_inputs=inputs, news=news, preview=True)
    expected = decode(reply.properties)
    assert (expected["uuid"], expected["name"]) == (object_id, outputs["name"])
    assert expected["home"] is UNKNOWN
    assert host.calls == ["create"]


def test_an_unknown_that_reaches_an_apply_is_a_defect_that_says_so(provider: Client) -> None:
    code, text = refusal(lambda: provider("Create", properties={"home": UNKNOWN}))
    assert code is grpc.StatusCode.ABORTED
    assert "unknown" in text


def test_what_was_unknown_in_the_preview_is_checked_again_with_its_path(provider: Client) -> None:
    code, text = refusal(lambda: provider("Create", properties={"slots": [{"name": "a", "mac": "zz"}]}))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text.startswith('slots[0].mac: "zz" is not a MAC address')


def test_delete_twice_is_fine(provider: Client, host: Host) -> None:
    object_id, inputs, outputs = provider.create({})
    for _ in range(2):
        provider("Delete", id=object_id, properties=outputs, old_inputs=inputs)
    assert host.gadgets == {}


# Errors


@pytest.mark.parametrize(
    ("act", "code"),
    [
        ("invalid", grpc.StatusCode.INVALID_ARGUMENT),
        ("missing", grpc.StatusCode.NOT_FOUND),
        ("taken", grpc.StatusCode.ALREADY_EXISTS),
        ("unreachable", grpc.StatusCode.UNAVAILABLE),
        ("busy", grpc.StatusCode.ABORTED),
        ("full", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("refused", grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
def test_every_error_is_one_sentence_with_its_path(provider: Client, act: str, code: grpc.StatusCode) -> None:
    inputs = provider.check({"act": act, "password": Secret("hunter22")})
    said = refusal(lambda: provider("Create", properties=inputs))
    assert said == (code, f'act: the host said "{act}" and mentioned [secret]')


def test_a_defect_is_one_sentence_without_traceback_or_secret(provider: Client) -> None:
    inputs = provider.check({"act": "defect", "password": Secret("hunter22")})
    code, text = refusal(lambda: provider("Create", properties=inputs))
    assert code is grpc.StatusCode.ABORTED
    assert "please report it" in text
    assert "hunter22" not in text
    assert "\n" not in text


def test_a_defect_of_the_door_is_told_the_same_way(provider: Client) -> None:
    code, text = refusal(lambda: provider("Create", urn="nonsense", properties={}))
    assert code is grpc.StatusCode.ABORTED
    assert text.startswith("this is a defect of jvp, please report it: ValueError at urns.py:")


# Functions and lists


def test_a_function_answers_with_its_secrets_hidden(provider: Client) -> None:
    provider.create({"name": "mine", "size": "2GiB", "slots": [{"name": "a"}]})
    reply = provider("Invoke", tok="jvp:index:getGadget", args={"name": "mine"})
    answer = decode(getattr(reply, "return"))
    assert answer["sizeBytes"] == 2 * 2**30
    assert isinstance(answer["serial"], Secret)
    assert answer["slots"][0]["name"] == "a"


def test_wrong_arguments_are_failures_with_their_path(provider: Client) -> None:
    reply = provider("Invoke", tok="jvp:index:getGadget", args={"name": 3})
    assert [(one.property, one.reason) for one in reply.failures] == [("name", "must be a string, not 3")]


def test_an_error_of_a_function_is_a_status(provider: Client) -> None:
    code, text = refusal(lambda: provider("Invoke", tok="jvp:index:getGadget", args={"name": "none"}))
    assert (code, text) == (grpc.StatusCode.NOT_FOUND, 'there is no gadget "none"; there are: none')
    code, text = refusal(lambda: provider("Invoke", tok="jvp:index:getGizmo", args={}))
    assert text == 'this version of jvp has no function "jvp:index:getGizmo"; there are: jvp:index:getGadget'


def test_list_streams_what_is_on_the_host(provider: Client) -> None:
    for name in ("a", "b", "c"):
        provider("Create", urn=URN + name, properties={"name": name})
    everything = [item.result.name for item in provider.stream("List", token=TYPE)]
    assert everything == ["a", "b", "c"]
    assert len(provider.stream("List", token=TYPE, limit=2)) == 2
    (computed,) = provider.stream("List", token=TYPE, query={"x": UNKNOWN})
    assert computed.WhichOneof("response") == "computed"
    assert "no filter" in refusal(lambda: provider.stream("List", token=TYPE, query={"x": 1}))[1]


def test_what_was_just_imported_is_not_deleted_as_the_original(provider: Client, host: Host, engine: Engine) -> None:
    object_id, inputs, outputs = provider.create({"name": "mine"})
    old = {"id": object_id, "properties": outputs, "old_inputs": inputs}
    provider("Read", id="mine")
    provider("Delete", **old)
    assert object_id in host.gadgets
    assert "not deleted" in engine.lines[-1].message
    # Another engine, and `pulumi do` (whose read has empty bags), mean it.
    provider("Handshake", engine_address="")
    provider("Read", id="mine", properties={}, inputs={})
    provider("Delete", **old)
    assert host.gadgets == {}
