"""A firewall's XML: the golden file, what every rule comes back as, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.resources.golden.files import same_as_golden

from jvp.core.check import check
from jvp.core.errors import dotted
from jvp.core.identity import Mark
from jvp.core.values import UNKNOWN
from jvp.core.work import Work
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import parse, text_of
from jvp.libvirt.network import filters
from jvp.resources.firewall.definition import is_damaged, patch, read, skeleton
from jvp.resources.firewall.handler import Firewalls, state_of
from jvp.resources.firewall.model import Firewall

UUID = "6f0f3d2e-6f1c-5d5b-9c55-0d8f0b7a3f10"
FULL: dict[str, Any] = {
    "name": "web", "inbound": "accept", "outbound": "drop", "antiSpoofing": True,
    "rules": [
        {"name": "ssh", "protocol": "tcp", "ports": ["22", "8000-8100"], "cidr": "10.0.0.0/8"},
        {"name": "dns", "direction": "out", "protocol": "udp", "ports": [53], "cidr": "0.0.0.0/0"},
        {"name": "ping", "protocol": "icmp", "priority": 1},
        {"name": "no", "direction": "out", "action": "reject", "cidr": "fd00::/8"},
        {"name": "gone", "action": "drop", "protocol": "icmpv6"},
    ],
}  # fmt: skip


def made(raw: dict[str, Any]) -> Any:
    checked = check(Firewall, raw)
    assert checked.spec is not None, checked.failures
    root = skeleton(UUID)
    patch(root, checked.spec)
    return root


def test_the_golden_file() -> None:
    same_as_golden("firewall-full", made(FULL))


RULES = st.fixed_dictionaries(
    {"protocol": st.sampled_from(["all", "tcp", "udp", "sctp", "icmp", "icmpv6", "esp", "ah"])},
    optional={
        "direction": st.sampled_from(["in", "out"]),
        "action": st.sampled_from(["accept", "drop", "reject"]),
        "ports": st.lists(st.sampled_from(["1", "22", "80-90", "65535"]), unique=True),
        "cidr": st.sampled_from(["10.0.0.0/8", "0.0.0.0/0", "::/0", "fd00::/8", "1.2.3.4/32", "fd00::1/128"]),
    },
)


@settings(max_examples=60, deadline=None)
@given(st.lists(RULES, max_size=5), st.sampled_from(["accept", "drop"]), st.sampled_from(["accept", "drop"]))
def test_every_firewall_comes_back_as_it_was_declared(rules: list[Any], inbound: str, outbound: str) -> None:
    named = [{"name": f"r{index}", **rule} for index, rule in enumerate(rules)]
    checked = check(Firewall, {"name": "a", "rules": named, "inbound": inbound, "outbound": outbound})
    if checked.spec is None:  # ports of what has none, or the other family
        return
    root = skeleton(UUID)
    patch(root, checked.spec)
    values = read(root)
    assert sorted(values["rules_"], key=lambda one: one.name) == checked.spec.rules_
    assert (values["inbound"], values["outbound"], values["undeclared"]) == (inbound, outbound, [])
    assert not is_damaged(root)


@pytest.mark.parametrize(
    ("rules", "path", "sentence"),
    [
        ([{"name": "a", "protocol": "icmp", "ports": ["1"]}], "rules[0].ports", "are of tcp, udp, sctp alone"),
        ([{"name": "a", "protocol": "icmp", "cidr": "fd00::/8"}], "rules[0].cidr", "is not an IPv4 network"),
        ([{"name": "a", "protocol": "icmpv6", "cidr": "10.0.0.0/8"}], "rules[0].cidr", "is not an IPv6 network"),
        ([{"name": "a", "cidr": "10.0.0.1/8"}], "rules[0].cidr", 'has host bits set; the network is "10.0.0.0/8"'),
        ([{"name": "a"}, {"name": "a"}], "rules[1].name", '"a" is given twice'),
        ([{"name": "a b"}], "rules[0].name", "is not a name of a rule"),
        ([{"name": "a"}, {"name": "b", "priority": 101}], "rules[1].priority", '101 is that of the rule "a" too'),
        ([{"name": "a", "priority": 801}], "rules[0].priority", "must be at most 800"),
        ([{"name": "a", "protocol": "tcp", "ports": ["0"]}], "rules[0].ports[0]", '"0" is no port'),
        ([{"name": "a", "protocol": "tcp", "ports": ["70000"]}], "rules[0].ports[0]", '"70000" is no port'),
        ([{"name": "a", "protocol": "tcp", "ports": ["http"]}], "rules[0].ports[0]", '"http" is no port'),
        ([{"name": "a", "protocol": "tcp", "ports": ["9-3"]}], "rules[0].ports[0]", "ends before it begins"),
        ([{"name": "a", "protocol": "tcp", "ports": ["22", "022"]}], "rules[0].ports[1]", '"022" is given twice'),
        ([{"name": "a", "protocol": "smtp"}], "rules[0].protocol", "must be one of"),
    ],
)
def test_a_wrong_rule_is_refused_in_one_sentence(rules: list[Any], path: str, sentence: str) -> None:
    (failure,) = check(Firewall, {"name": "a", "rules": rules}).failures
    assert (dotted(failure.path), sentence in failure.message) == (path, True), failure


def test_what_is_not_known_yet_passes() -> None:
    rules = [UNKNOWN, {"name": "a", "protocol": UNKNOWN, "ports": UNKNOWN, "cidr": UNKNOWN, "priority": UNKNOWN}]
    assert check(Firewall, {"name": "a", "rules": rules}).failures == ()
    assert check(Firewall, {"name": "a", "rules": UNKNOWN}).failures == ()


class Told:
    """A filter of libvirt's."""

    def __init__(self, root: Any) -> None:
        self.root = root

    def XMLDesc(self, _: int) -> str:
        return text_of(self.root)


@pytest.mark.parametrize("length", [1, 4000, 9000])
def test_a_mark_of_any_length_comes_back_and_a_wrong_one_is_none(length: int) -> None:
    root = made({"name": "a"})
    text = "".join(str(number) for number in range(length))[:length]
    marks.put(root, marks.element_of(Mark("key", 3, True, "owner"), {"fact": text}))
    packed = parse(text_of(filters._packed(root)))
    assert packed.find("metadata") is None

    told: Any = Told(packed)
    found = filters.definition(told)
    assert (marks.mark_of(found), marks.facts_of(found)) == (Mark("key", 3, True, "owner"), {"fact": text})
    assert all(len(rule[0].get("comment") or "") <= 256 for rule in packed.iterfind("rule"))
    chunk = next(rule for rule in packed.iterfind("rule") if rule.get("action") == "continue")[0]
    for wrong in ("jvp-mark:00:nonsense!", "jvp-mark:00:QUFB", "jvp-mark:"):
        chunk.set("comment", wrong)
        assert marks.find(filters.definition(told)) is None


def test_a_kernel_that_brings_nothing_to_the_rules_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "_SWITCHES", tmp_path)
    assert filters.switched_off() == []
    for name, text in (("bridge-nf-call-iptables", "0\n"), ("bridge-nf-call-ip6tables", "1\n")):
        (tmp_path / name).write_text(text)
    assert filters.switched_off() == ["bridge-nf-call-iptables"]
    # Each plan and refresh of one that is there says so once.
    node: Any = SimpleNamespace(is_here=True)
    told = "the rules filter nothing while net.bridge.bridge-nf-call-iptables of the node is 0; set it to 1 with sysctl"
    state = state_of(made({"name": "a"}))
    assert [*Firewalls(node).standing(state)] == [told]
    assert [*Firewalls(node).warnings(Work(), state, state)] == []
    assert [*Firewalls(node).warnings(Work(), state, None)] == [told]


@pytest.mark.parametrize(("behind", "written"), [("a", 0), ("other", 1)])
def test_a_read_writes_none_that_a_guest_runs_behind(behind: str, written: int) -> None:
    root, defined = made({"name": "a"}), list[str]()
    marks.put(root, marks.element_of(Mark("key", 0)))
    connection = SimpleNamespace(
        listAllNWFilterBindings=lambda _: [SimpleNamespace(filterName=lambda: behind)], nwfilterDefineXML=defined.append
    )
    node: Any = SimpleNamespace(connection=connection)
    filters.FilterApi(node).acknowledge(root)
    mark = marks.mark_of(root)
    assert mark is not None
    assert (mark.acknowledged, len(defined)) == (bool(written), written)
