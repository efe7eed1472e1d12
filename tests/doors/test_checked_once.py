"""How often one call of an engine checks what is declared, and compares it with what is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from gadget import Gadget
from pulumi_rpc import Client
from terraform_rpc import Engine

from jvp.core import verbs
from jvp.core.values import Secret
from jvp.doors.pulumi.wire import decode

KIND = "jvp_gadget"
RAW = {"name": "a", "size": "2GiB", "rack": {"room": "r"}, "password": "hunter22"}
CHANGED = {**RAW, "size": "3GiB", "rack": {"room": "s"}}


class Work(Counter[str]):
    """How often a gadget was checked, and how often a plan was made of one."""

    def of(self, call: Callable[[], Any]) -> tuple[Any, dict[str, int]]:
        """What the call returns, and the work that it was."""
        self.clear()
        return call(), dict(self)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    found, rules, diff = Work(), Gadget.rules, verbs.diff

    def counted_rules(self: Gadget) -> Any:
        found["check"] += type(self) is Gadget
        return rules(self)

    def counted_diff(*arguments: Any, **named: Any) -> Any:
        found["plan"] += 1
        return diff(*arguments, **named)

    monkeypatch.setattr(Gadget, "rules", counted_rules)
    monkeypatch.setattr(verbs, "diff", counted_diff)
    return found


CHECKED, PLANNED = {"check": 1}, {"check": 1, "plan": 1}


def test_in_hcl(terraform: Engine, work: Work) -> None:
    assert work.of(lambda: terraform.failures(KIND, RAW)) == ([], CHECKED)
    planned, spent = work.of(lambda: terraform.plan(KIND, RAW))
    assert spent == CHECKED
    made, spent = work.of(lambda: terraform.apply(planned))
    assert (made.errors, spent) == ([], CHECKED)
    read, spent = work.of(lambda: terraform.read(made))
    assert spent == CHECKED
    same, spent = work.of(lambda: terraform.plan(KIND, RAW, read))
    assert (same.is_nothing, spent) == (True, PLANNED)
    planned, spent = work.of(lambda: terraform.plan(KIND, CHANGED, read))
    assert (planned.is_nothing, spent) == (False, PLANNED)
    made, spent = work.of(lambda: terraform.apply(planned))
    assert (made.errors, spent) == ([], PLANNED)
    assert work.of(lambda: terraform.apply(terraform.plan_delete(made)).errors) == ([], {})


def test_in_pulumi(provider: Client, work: Work) -> None:
    news, changed = ({**one, "password": Secret("hunter22")} for one in (RAW, CHANGED))
    inputs, spent = work.of(lambda: provider.check(news))
    assert spent == CHECKED
    assert work.of(lambda: provider("Create", properties=inputs, preview=True))[1] == CHECKED
    made, spent = work.of(lambda: provider("Create", properties=inputs))
    assert spent == CHECKED
    state, olds, new = {"id": made.id, "old_inputs": inputs}, decode(made.properties), provider.check(changed)
    assert work.of(lambda: provider("Read", id=made.id, properties=olds, inputs=inputs))[1] == CHECKED
    assert work.of(lambda: provider("Diff", **state, olds=olds, news=inputs))[1] == PLANNED
    for verb in ({"preview": True}, {}):
        assert work.of(lambda verb=verb: provider("Update", **state, olds=olds, news=new, **verb))[1] == PLANNED
    assert work.of(lambda: provider("Delete", id=made.id, properties=olds, old_inputs=inputs))[1] == {}
