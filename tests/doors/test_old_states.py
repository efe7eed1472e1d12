"""States of the first form, in which inputs have every default, with this provider: both engines, both SDKs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from gadget import Gadget
from pulumi_rpc import Client
from terraform_rpc import Engine

from jvp.core.check import check
from jvp.doors.pulumi.protocol import DIFF_NONE
from jvp.doors.pulumi.wire import PRIVATE, decode

PROGRAM: dict[str, Any] = {"name": "mine", "speed": 3, "rack": {"room": "r"}}
WHOLE: dict[str, Any] = check(Gadget, PROGRAM).whole
"""What an old check gave, and what an old SDK sends."""


def test_pulumi_plans_nothing_for_an_old_state_and_shows_what_an_old_sdk_sends(provider: Client) -> None:
    object_id, _, outputs = provider.create(PROGRAM)
    outputs[PRIVATE] = {**outputs[PRIVATE], "schema": 1}
    old = {"id": object_id, "olds": outputs, "old_inputs": WHOLE}
    for sent in (PROGRAM, WHOLE):
        assert provider("Diff", news=provider.check(sent, WHOLE), **old).changes == DIFF_NONE
    read = provider("Read", id=object_id, properties=outputs, inputs=WHOLE)
    assert decode(read.inputs) == PROGRAM
    assert decode(read.properties)[PRIVATE]["schema"] == 2
    provider("Update", news=provider.check({**PROGRAM, "size": "2GiB", "mode": "slow"}, WHOLE), **old)
    found = provider("Read", id=object_id)
    imported = {"id": object_id, "olds": decode(found.properties), "old_inputs": decode(found.inputs)}
    assert provider("Diff", news=provider.check(PROGRAM), **imported).changes == DIFF_NONE
    assert sorted(provider("Diff", news=provider.check(WHOLE), **imported).detailedDiff) == ["mode", "size"]


def test_terraform_plans_nothing_for_an_old_state(terraform: Engine) -> None:
    made = terraform.create("jvp_gadget", PROGRAM)
    private = json.loads(made.private)
    private |= {"inputs": WHOLE, "core": {**private["core"], "schema": 1}}
    old = replace(made, private=json.dumps(private).encode())
    assert terraform.plan("jvp_gadget", PROGRAM, old).is_nothing
    assert terraform.plan("jvp_gadget", {**PROGRAM, "size": "1GiB", "mode": "fast"}, old).is_nothing
    read = json.loads(terraform.read(old).private)
    assert (read["inputs"], read["core"]["schema"]) == (PROGRAM, 2)
    assert not terraform.plan("jvp_gadget", {"name": "mine"}, old).is_nothing
