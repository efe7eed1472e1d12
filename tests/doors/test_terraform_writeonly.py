"""Write-only attributes: what a host sends with every configuration, and finds in no answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gadget import Host
from terraform_rpc import Applied, Engine, said

from jvp.core.check import Failure, check
from jvp.core.values import UNKNOWN
from jvp.doors.terraform import writeonly
from jvp.doors.terraform.values import to_bag
from jvp.resources.instance.cloudinit import CloudInit

GADGET = "jvp_gadget"
FIRST, SECOND = "hunter22", "hunter33"


def of(secret: Any, version: Any, **more: Any) -> dict[str, Any]:
    return {"name": "a", "password_wo": secret, "password_wo_version": version, **more}


def password(host: Host) -> str | None:
    """What the gadget has been told."""
    (one,) = host.passwords.values()
    return one


def hidden(after: Applied) -> bool:
    said = f"{after.state} {after.private!r}"
    return FIRST not in said and SECOND not in said


def test_it_reaches_the_object_and_nothing_else(terraform: Engine, host: Host) -> None:
    planned = terraform.plan(GADGET, of(FIRST, 1))
    assert FIRST not in f"{planned.state} {planned.private!r}"
    made = terraform.done(planned)
    assert made.state is not None
    assert (password(host), made.state["password"], made.state["password_wo_version"]) == (FIRST, None, 1)
    assert hidden(made)
    read = terraform.read(made)
    assert read.state == made.state
    assert hidden(read)
    assert terraform.upgrade(GADGET, read.state)[0] == read.state


def test_only_another_version_writes_another_value(terraform: Engine, host: Host) -> None:
    made = terraform.create(GADGET, of(FIRST, 1))
    for other in (FIRST, SECOND, UNKNOWN):
        assert terraform.plan(GADGET, of(other, 1), made).is_nothing
    made = terraform.update(made, of(SECOND, 2))
    assert password(host) == SECOND
    assert hidden(made)
    # As long as it is not known, it may be another.
    assert not terraform.plan(GADGET, of(SECOND, UNKNOWN), made).is_nothing
    made = terraform.update(made, {"name": "a"})
    assert password(host) is None
    assert terraform.plan(GADGET, {"name": "a"}, terraform.read(made)).is_nothing


def test_another_change_leaves_it(terraform: Engine, host: Host) -> None:
    made = terraform.create(GADGET, of(FIRST, 1))
    planned = terraform.plan(GADGET, of(FIRST, 1, speed=3), made)
    assert FIRST not in repr(planned.private)
    made = terraform.done(planned)
    assert password(host) == FIRST
    assert hidden(made)
    assert terraform.plan(GADGET, of(FIRST, 1, speed=3), terraform.read(made)).is_nothing


def test_what_was_in_the_state_leaves_it(terraform: Engine, host: Host) -> None:
    made = terraform.create(GADGET, {"name": "a", "password": FIRST})
    assert not hidden(made)
    made = terraform.update(made, of(FIRST, 1))
    assert password(host) == FIRST
    assert hidden(made)
    made = terraform.update(made, {"name": "a", "password": SECOND})
    assert password(host) == SECOND
    assert made.state is not None
    assert (made.state["password"], made.state["password_wo_version"]) == (SECOND, None)


def test_an_error_leaves_the_state_and_tells_nothing(terraform: Engine) -> None:
    made = terraform.create(GADGET, of(FIRST, 1))
    failed = terraform.apply(terraform.plan(GADGET, of(SECOND, 2, act="refused"), made))
    assert failed.errors
    assert failed.state == made.state
    assert hidden(failed)
    assert not any(text in f"{failed.errors}" for text in (FIRST, SECOND))


def test_an_unfinished_object_tells_nothing_either(terraform: Engine) -> None:
    planned = terraform.plan(GADGET, of(FIRST, 1, act="partial"))
    half = terraform.apply(planned)
    assert half.errors
    assert half.state is not None
    assert hidden(half)


def test_ignored_changes_keep_version_and_value(terraform: Engine, host: Host) -> None:
    """The host plans with what was there, and sends the bare configuration with the apply."""
    made = terraform.create(GADGET, of(FIRST, 1))
    planned = terraform.plan(GADGET, of(None, 1, speed=3), made)
    bare = terraform.filled(GADGET, of(SECOND, 2, speed=3))
    made = terraform.apply(replace(planned, config=bare))
    assert not made.errors
    assert made.state is not None
    assert made.state["password_wo_version"] == 1
    assert hidden(made)


def test_a_value_that_is_ignored_reaches_nothing(terraform: Engine, host: Host) -> None:
    made = terraform.create(GADGET, {"name": "a"})
    planned = terraform.plan(GADGET, {"name": "a", "speed": 3}, made)
    made = terraform.apply(replace(planned, config=terraform.filled(GADGET, of(SECOND, 1, speed=3))))
    assert not made.errors
    assert hidden(made)
    assert password(host) is None


@pytest.mark.parametrize(
    ("given", "path", "sentence"),
    [
        (of(FIRST, 1, password="other"), "password_wo",
         "password_wo: cannot stand beside password; give one of them"),
        (of(FIRST, None), "password_wo",
         "password_wo: needs password_wo_version, a number: its change is what writes another password"),
        (of(None, 1), "password_wo_version", "password_wo_version: is of use beside password_wo alone"),
        (of(12345678, 1), "password_wo", "password_wo: must be a string, not that"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_it_is_a_sentence(
    terraform: Engine, given: dict[str, Any], path: str, sentence: str
) -> None:
    (one,) = terraform.failures(GADGET, given)
    assert (one.path, one.detail) == ((path,), sentence)


def test_a_plan_too_names_the_attribute_that_is_written(terraform: Engine) -> None:
    """What was not known when the configuration was checked."""
    (one,) = said(terraform.planning(GADGET, of(12345678, 1)))
    assert (one.path, one.detail) == (("password_wo",), "password_wo: must be a string, not that")


@pytest.mark.parametrize("first", [{"name": "a"}, {"name": UNKNOWN}])
def test_one_in_a_list_is_checked_at_its_own_place(first: dict[str, Any]) -> None:
    user = {"name": "b", "password_wo": "p\n", "password_wo_version": 1}
    raw = {"users": [{**first, "password": None}, user]}
    bag = writeonly.filled(CloudInit, to_bag(CloudInit, raw), {("users", "b", "password"): "p\n"})
    (wrong,) = writeonly.placed(CloudInit, raw, check(CloudInit, bag).failures)
    assert wrong == Failure(("users", 1, "password_wo"), "has control characters, which no password can have")


def test_an_item_of_one_has_its_place_in_the_list() -> None:
    raw = {"run_commands_wo": ["ls", 12], "run_commands_wo_version": 1}
    bag = writeonly.filled(CloudInit, to_bag(CloudInit, raw), {("runCommands",): raw["run_commands_wo"]})
    (wrong,) = writeonly.placed(CloudInit, raw, check(CloudInit, bag).failures)
    assert wrong == Failure(("run_commands_wo", 1), "must be a string, not that")


def test_a_warning_names_the_attribute_that_is_written() -> None:
    raw = {"users": [{"name": "a", "password_wo": "x", "password_wo_version": 2}, {"name": "b", "password": "y"}]}
    said = "users[0].password, users[1].password, users[0].password_wo_version: takes effect at the next power cycle"
    assert writeonly.named(CloudInit, raw, said) == said.replace("[0].password,", "[0].password_wo,")


def test_an_older_host_is_told_what_to_do(terraform: Engine) -> None:
    terraform.old = True
    (one,) = terraform.failures(GADGET, of(FIRST, 1))
    assert one.detail.endswith("from 1.11 on alone; give password")
    assert terraform.failures(GADGET, {"name": "a", "password": FIRST}) == []


def test_items_whose_names_are_not_known_yet_keep_their_own_versions() -> None:
    def item(name: Any, **more: Any) -> dict[str, Any]:
        return {"name": name, "password": None, "password_wo_version": None, **more}

    planned = {"users": [item(UNKNOWN, password="plain"), item(UNKNOWN)]}
    config = {"users": [item(UNKNOWN, password="plain"), item(UNKNOWN, password_wo_version=2)]}
    made = writeonly.closed(CloudInit, planned, config)["users"]
    assert [(one["password"], one["password_wo_version"]) for one in made] == [("plain", None), (None, 2)]
