"""Import, stored states and data sources over real gRPC, as hosts ask for them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from gadget import Host
from terraform_rpc import Engine, Said, said, unpacked

from jvp.core.values import UNKNOWN

GADGET = "jvp_gadget"


# Import


def test_an_import_takes_id_or_name_and_the_next_plan_is_empty(terraform: Engine) -> None:
    given = {"name": "a", "size": "2GiB", "slots": [{"name": "s"}], "rack": {"room": "r"}}
    made = terraform.create(GADGET, given)
    assert made.state is not None
    for reference in ("a", made.state["id"]):
        there = terraform.imported(GADGET, reference)
        assert there.state is not None
        assert {**there.state, "corner": "r"} == {**made.state, "corner": "r"}
        assert terraform.plan(GADGET, given, there).is_nothing
        assert terraform.plan(GADGET, {"name": "a"}, there).is_nothing, "what nobody sets stays as it was found"
        assert not terraform.plan(GADGET, {**given, "size": "3GiB"}, there).is_nothing


def test_an_import_of_nothing_names_what_there_is(terraform: Engine) -> None:
    terraform.create(GADGET, {"name": "a"})
    there = terraform.imported(GADGET, "b")
    assert there.errors == [Said("Not found", 'there is no gadget "b"; there are: a')]


def test_a_move_from_elsewhere_is_refused(terraform: Engine) -> None:
    answer = terraform.ask(
        "MoveResourceState", source_provider_address="registry.example/a/other", source_type_name="other_thing",
        target_type_name=GADGET,
    )  # fmt: skip
    (wrong,) = said(answer)
    assert wrong.title == "Refused"
    assert wrong.detail.startswith('only resources of "dmacvicar/libvirt" can be moved to jvp')


# Stored states


def test_a_state_of_today_is_as_it_was(terraform: Engine) -> None:
    made = terraform.create(GADGET, {"name": "a", "slots": [{"name": "s"}], "timeouts": {"create": "1m"}})
    assert terraform.upgrade(GADGET, made.state) == (made.state, [])


@pytest.mark.parametrize("number", ["1.5", "1732723200.123", "0.3333333333333333333333333333333333333335"])
def test_a_fraction_keeps_its_digits(terraform: Engine, number: str) -> None:
    made = terraform.create(GADGET, {"name": "a", "password_wo": "x", "password_wo_version": 0})
    text = json.dumps({**(made.state or {}), "password_wo_version": "HERE"}).replace('"HERE"', number)
    state, errors = terraform.upgrade(GADGET, text.encode())
    assert (str(state["password_wo_version"]), errors) == (number, [])


def test_what_an_older_version_had_goes_and_what_is_new_is_not_set(terraform: Engine) -> None:
    made = terraform.create(GADGET, {"name": "a", "slots": [{"name": "s"}], "timeouts": {"create": "1m"}})
    assert made.state is not None
    older = {**made.state, "colour": "red", "slots": [{"name": "s", "width": 3}], "timeouts": {"read": "1m"}}
    del older["weather"]
    found, wrong = terraform.upgrade(GADGET, older, version=0)
    assert wrong == []
    assert found["slots"] == [{"name": "s", "mac": None, "note": None}]
    assert found["timeouts"] == {"create": None, "update": None, "delete": None}
    assert "colour" not in found
    assert found["weather"] is None


def test_a_state_of_a_newer_version_is_refused_in_a_sentence(terraform: Engine) -> None:
    found, wrong = terraform.upgrade(GADGET, {}, version=7)
    assert found is None
    assert wrong == [
        Said(
            "Invalid value",
            "the state was written by a newer version of jvp (its schema is 7, this one knows 2); install that version",
        )
    ]


@pytest.mark.parametrize(
    ("state", "where"),
    [
        (b"", "the state of the gadget is no object"),
        (b"{", "the state of the gadget is no object"),
        ([1], "the state of the gadget is no object"),
        ({"slots": {"name": "a"}}, "the state of the gadget.slots is no list"),
        ({"slots": [None]}, "the state of the gadget.slots is no object"),
        ({"rack": "r"}, "the state of the gadget.rack is no object"),
        ({"rack": {"labels": "x"}}, "the state of the gadget.rack.labels is no list"),
        ({"size": 5}, "the state of the gadget.size is no string"),
        ({"speed": "quick"}, "the state of the gadget.speed is no number"),
        ({"tags": {"a": 1}}, "the state of the gadget.tags is no string"),
        ({"tags": ["a"]}, "the state of the gadget.tags is no map"),
        ({"unfinished": "yes"}, "the state of the gadget.unfinished is no list"),
        ({"timeouts": "1m"}, "the state of the gadget.timeouts is no object"),
        ({"timeouts": {"create": "soon"}}, 'the state of the gadget.timeouts.create is broken: "soon" is not a '
         'duration; write it with units: "90s", "5m", "1h30m"'),
        ({"slots": [{"note": "x"}]}, "the state of the gadget.slots.name is missing"),
        ({}, "the state of the gadget.id is no id"),
        ({"id": "a"}, "the state of the gadget.id is no id"),
    ],
)  # fmt: skip
def test_a_broken_state_is_one_sentence(terraform: Engine, state: Any, where: str) -> None:
    found, wrong = terraform.upgrade(GADGET, state)
    advice = "restore the state from a backup, or import the object again"
    assert (found, wrong) == (None, [Said("Invalid value", f"{where}; {advice}")])


BROKEN = "what jvp keeps beside the state is broken; remove the resource from the state and import it again"


def private(**parts: Any) -> bytes:
    """The private bytes of a state, with something else in them."""
    return json.dumps({"version": 1, "inputs": {}, "core": {}, **parts}).encode()


@pytest.mark.parametrize(
    ("kept", "sentence"),
    [
        (b"nonsense", BROKEN),
        (b"{}", BROKEN),
        (b"[1]", BROKEN),
        (private(inputs={"size": 5}), BROKEN),
        (private(inputs={"slots": {"a": 1}}), BROKEN),
        (private(inputs=["name"]), BROKEN),
        (private(core={"unfinished": 5}), BROKEN),
        (private(core=None), BROKEN),
        (private(version=9),
         "the state was written by a newer version of jvp (its form is 9, this one reads 1); install that version"),
    ],
)  # fmt: skip
def test_broken_private_bytes_are_one_sentence_and_change_nothing(
    terraform: Engine, host: Host, kept: bytes, sentence: str
) -> None:
    made = replace(terraform.create(GADGET, {"name": "a"}), private=kept)
    host.calls.clear()
    answer = terraform.ask("ReadResource", type_name=GADGET, current_state=made.state, private=kept)
    assert said(answer) == [Said("Invalid value", sentence)]
    assert said(terraform.planning(GADGET, {"name": "a"}, made)) == [Said("Invalid value", sentence)]
    method, values = terraform.applying(terraform.plan_delete(made))
    answer = terraform.ask(method, **values)
    assert said(answer) == [Said("Invalid value", sentence)]
    assert unpacked(answer.new_state) is None, "for a host: as it was"
    assert host.calls == []


def test_a_size_that_no_program_may_declare_is_kept_and_mended(terraform: Engine) -> None:
    made = terraform.create(GADGET, {"name": "a"})
    assert made.state is not None
    found, wrong = terraform.upgrade(GADGET, {**made.state, "size": "0KiB"})
    assert (found["size"], wrong) == ("0KiB", [])


# Data sources


def test_a_function_is_a_data_source(terraform: Engine) -> None:
    terraform.create(GADGET, {"name": "a", "size": "2GiB", "slots": [{"name": "s"}]})
    state, wrong = terraform.data(GADGET, {"name": "a"})
    assert wrong == []
    assert (state["name"], state["size_bytes"], state["slots"][0]["name"]) == ("a", 2 * 2**30, "s")
    assert state["serial"].startswith("serial-")
    assert terraform.block(f"data.{GADGET}")["serial"].sensitive


def test_errors_of_data_sources_have_their_path(terraform: Engine) -> None:
    assert terraform.data(GADGET, {"name": "no"})[1] == [Said("Not found", 'there is no gadget "no"; there are: none')]
    terraform.create(GADGET, {"name": "a"})
    (wrong,) = terraform.data(GADGET, {"name": "a", "act": "busy"})[1]
    assert (wrong.title, wrong.path) == ("Busy", ("act",))
    (wrong,) = terraform.failures(f"data.{GADGET}", {"name": "not a name"})
    assert (wrong.title, wrong.path) == ("Invalid value", ("name",))
    (wrong,) = terraform.data(GADGET, {"name": "not a name"})[1]
    assert wrong.path == ("name",)


def test_a_kind_without_a_function_is_looked_up_by_id_or_name(terraform: Engine) -> None:
    made = terraform.create("jvp_trinket", {"name": "a", "rack": {"room": "r"}})
    assert made.state is not None
    for given in ({"name": "a"}, {"id": made.state["id"]}):
        state, wrong = terraform.data("jvp_trinket", given)
        assert wrong == []
        assert (state["id"], state["name"]) == (made.state["id"], "a")
        assert state["rack"]["room"] == "r"
    for given in ({}, {"name": "a", "id": "b"}):
        (wrong_,) = terraform.failures("data.jvp_trinket", given)
        assert (wrong_.path, wrong_.detail) == (("name",), "name: give either the id or the name of the trinket")
    assert terraform.failures("data.jvp_trinket", {"name": UNKNOWN}) == []
    assert terraform.data("jvp_trinket", {"name": "b"})[1] == [
        Said("Not found", 'there is no trinket "b"; there are: a')
    ]


# What a plan was made of


def test_what_a_plan_ignores_the_apply_ignores_too(terraform: Engine, host: Host) -> None:
    """`ignore_changes`: the host plans the configuration with the old values, and sends it bare with the apply."""
    made = terraform.create(GADGET, {"name": "a", "mode": "fast", "speed": 3})
    planned = terraform.plan(GADGET, {"name": "a", "mode": "fast", "size": "2GiB", "speed": 3}, made)
    bare = terraform.filled(GADGET, {"name": "a", "mode": "slow", "size": "2GiB"})
    done = terraform.apply(replace(planned, config=bare))
    (gadget,) = host.gadgets.values()
    assert (gadget["mode"], gadget["speed"], gadget["size"]) == ("fast", 3, "2GiB")
    assert done.state is not None
    assert (done.state["mode"], done.state["speed"]) == ("fast", 3)


def test_what_a_plan_did_not_know_comes_with_the_apply(terraform: Engine, host: Host) -> None:
    made = terraform.create(GADGET, {"name": "a"})
    planned = terraform.plan(GADGET, {"name": "a", "size": UNKNOWN, "mode": "fast"}, made)
    terraform.apply(replace(planned, config=terraform.filled(GADGET, {"name": "a", "size": "3GiB", "mode": "slow"})))
    (gadget,) = host.gadgets.values()
    assert (gadget["size"], gadget["mode"]) == ("3GiB", "fast")


@pytest.mark.parametrize("plan", [5, {}, {"given": 5, "open": []}, {"given": {}, "open": 5}])
def test_what_a_plan_keeps_and_is_broken_is_one_sentence_and_changes_nothing(
    terraform: Engine, host: Host, plan: Any
) -> None:
    made = terraform.create(GADGET, {"name": "a"})
    planned = replace(terraform.plan(GADGET, {"name": "a", "size": "2GiB"}, made), private=private(plan=plan))
    host.calls.clear()
    after = terraform.apply(planned)
    assert after.errors == [Said("Invalid value", "what jvp keeps beside the plan is broken; make the plan again")]
    assert (after.state, host.calls) == (made.state, [])
