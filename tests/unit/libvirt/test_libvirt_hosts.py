"""The steps from the addresses that a network keeps to those that it is to keep."""

from __future__ import annotations

import libvirt
from hypothesis import given
from hypothesis import strategies as st

from jvp.libvirt.network.reservations import Host, steps

ADD = libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST


def taken(out: set[Host], new: set[Host]) -> list[set[Host]]:
    """What the network keeps after each step; nothing twice at any time, as libvirt demands."""
    now, found = set(out), []
    for command, host in steps(out, new):
        if command == ADD:
            assert not [one for one in now if one.mac == host.mac or one.address == host.address]
            assert not [one for one in now if host.name and one.name == host.name]
            now.add(host)
        else:
            now.remove(host)
        found.append(set(now))
    return found


def hosts(places: list[int]) -> set[Host]:
    return {Host(f"m{number}", f"a{place}") for number, place in enumerate(places)}


@given(st.permutations(range(7)), st.permutations(range(9)))
def test_they_lead_there_from_anywhere(before: list[int], after: list[int]) -> None:
    out, new = hosts(before), hosts(after[:6])
    assert taken(out - new, new - out)[-1:] in ([], [new - out])


def test_one_is_back_before_the_next_goes() -> None:
    out = {Host(f"m{number}", f"a{number}", f"n{number}") for number in range(6)}
    new = {Host(f"m{number}", f"a{number + 1}", f"n{number}") for number in range(5)}
    assert min(map(len, taken(out, new))) == 4
    renamed = {Host(host.mac, host.address, f"x{host.mac}") for host in out}
    assert min(map(len, taken(out, renamed))) == 5


def test_who_exchange_theirs_are_the_only_ones_out() -> None:
    new = hosts([1, 0, 2, 4, 5, 3])
    out = hosts([0, 1, 2, 3, 4, 5])
    assert min(map(len, taken(out - new, new - out))) == 3
