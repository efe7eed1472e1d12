"""DHCP ranges are changed one by one, and come out in the order that the definition has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jvp.libvirt.network.networks import _range_steps

ADD_LAST, ADD_FIRST, DELETE = 3, 4, 2
ranges = st.lists(st.sampled_from("abcde"), unique=True, max_size=5)


def applied(running: list[str], wanted: list[str]) -> tuple[list[str], int]:
    found, steps = list(running), 0
    for command, text in _range_steps(running, wanted):
        steps += 1
        if command == DELETE:
            found.remove(text)
        else:
            assert command in (ADD_FIRST, ADD_LAST)
            assert text not in found, "libvirt refuses a range that is there"
            found.insert(0 if command == ADD_FIRST else len(found), text)
    return found, steps


@given(ranges, ranges)
def test_the_running_ranges_become_the_defined_ones_in_their_order(running: list[str], wanted: list[str]) -> None:
    found, steps = applied(running, wanted)
    assert found == wanted
    assert running != wanted or steps == 0


def test_what_stays_is_left_alone() -> None:
    assert applied(["a", "b", "c"], ["x", "b", "c"]) == (["x", "b", "c"], 2)
    assert applied(["a", "b"], ["a", "b", "c"]) == (["a", "b", "c"], 1)
    assert applied(["a", "b", "c"], ["a", "b"]) == (["a", "b"], 1)
