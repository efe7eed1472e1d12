"""The addresses in an instance's state."""

from __future__ import annotations

from typing import Any

import pytest

from jvp.libvirt.domain.addresses import Address
from jvp.libvirt.link.xml import parse
from jvp.resources.instance import cards
from jvp.resources.instance.model import InstanceState

MAC = "52:54:00:00:00:01"
GUEST = parse(f"<domain><devices><interface><mac address='{MAC}'/></interface></devices></domain>")


def test_how_an_address_is_known_stays_while_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = None
    for known, sources in (
        ([("10.0.0.9", "lease")], ["lease"]),
        ([("10.0.0.9", "agent"), ("fd00::9", "agent")], ["lease", "agent"]),
        ([("10.0.0.9", "lease"), ("fd00::9", "lease")], ["lease", "agent"]),
        ([("fd00::9", "lease")], ["agent"]),
        ([("10.0.0.9", "agent")], ["agent"]),
    ):
        now = [Address(MAC, address, source) for address, source in known]

        def found(*_: Any, now: list[Address] = now, **__: Any) -> list[Address]:
            return now

        monkeypatch.setattr(cards.addresses, "addresses", found)
        read = cards.addresses_of(None, GUEST, True, prior, managed=True)
        assert [one.source for one in read["addresses"]] == sources
        prior = InstanceState.model_construct(addresses=read["addresses"])
