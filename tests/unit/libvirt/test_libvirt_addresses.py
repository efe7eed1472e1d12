"""Addresses from the agent: which count, and what an agent that does not answer means."""

from __future__ import annotations

from typing import Any

import libvirt
import pytest

from jvp.libvirt.domain.addresses import Address, agent_addresses, arp_addresses, channel_state
from jvp.libvirt.domain.waiting import Console
from jvp.libvirt.link.xml import parse

MAC = "52:54:00:00:00:01"
ROOT = parse(f"""<domain><devices>
<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0' state='connected'/></channel>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='disconnected'/></channel>
<interface type='network'><mac address='{MAC.upper()}'/></interface></devices></domain>""")
FOUND = {
    "lo": {"hwaddr": "00:00:00:00:00:00", "addrs": [{"addr": "127.0.0.1", "prefix": 8, "type": 0}]},
    "eth0": {"hwaddr": MAC, "addrs": [
        {"addr": "fe80::5054:ff:fe00:1", "prefix": 64, "type": 1}, {"addr": "169.254.7.7", "prefix": 16, "type": 0},
        {"addr": "10.1.2.3", "prefix": 24, "type": 0}, {"addr": "fd00::7", "prefix": 64, "type": 1},
    ]},
    "eth1": {"hwaddr": MAC, "addrs": None},
    "docker0": {"hwaddr": "02:42:00:00:00:01", "addrs": [{"addr": "172.17.0.1", "prefix": 16, "type": 0}]},
    "tun0": {"hwaddr": None, "addrs": [{"addr": "10.9.9.9", "prefix": 24, "type": 0}]},
}  # fmt: skip


class Domain:
    """A domain whose agent gives an answer or an error."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.patience: list[int] = []

    def agentSetResponseTimeout(self, seconds: int, _flags: int) -> int:
        self.patience.append(seconds)
        return 0

    def interfaceAddresses(self, _source: int, _flags: int) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def refusal(code: int) -> libvirt.libvirtError:
    error = libvirt.libvirtError("no")
    error.err = (code, 0, "no", 0, None, None, None, 0, 0)
    return error


def test_only_what_others_can_reach_counts() -> None:
    domain = Domain(FOUND)
    assert agent_addresses(domain, ROOT) == [Address(MAC, "10.1.2.3", "agent"), Address(MAC, "fd00::7", "agent")]
    assert domain.patience == [3]
    assert (arp_addresses(Domain(FOUND), ROOT) or [None])[0] == Address(MAC, "10.1.2.3", "arp")


def test_an_agent_that_does_not_answer_is_not_one_without_addresses() -> None:
    assert agent_addresses(Domain(refusal(libvirt.VIR_ERR_AGENT_UNRESPONSIVE)), ROOT) is None
    assert agent_addresses(Domain({}), ROOT) == []
    assert arp_addresses(Domain(refusal(libvirt.VIR_ERR_AGENT_UNRESPONSIVE)), ROOT) is None


def test_the_state_of_the_agents_own_channel() -> None:
    assert channel_state(ROOT) == "disconnected"
    assert channel_state(parse("<domain><devices/></domain>")) is None


class Stream:
    """A console's stream that gives what it was made with, then nothing."""

    def __init__(self, *parts: Any) -> None:
        self.parts = list(parts)

    def recv(self, _length: int) -> Any:
        part = self.parts.pop(0) if self.parts else -2
        if isinstance(part, Exception):
            raise part
        return part

    def abort(self) -> None:
        self.parts = []


class Guest:
    """A domain with a console, or one that is open elsewhere (None)."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def connect(self) -> Any:
        return self

    def newStream(self, _flags: int) -> Any:
        return self.stream

    def openConsole(self, _name: Any, _stream: Any, flags: int) -> None:
        assert not flags & libvirt.VIR_DOMAIN_CONSOLE_FORCE
        if self.stream is None:
            raise refusal(libvirt.VIR_ERR_OPERATION_FAILED)


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (Stream(b"a\r\nlast \x1b[1;31mli", b"ne\x1b[0m\r\n \r\n"), ", which ends with: last line"),
        (Stream(b"\x07\xff"), ", which ends with: \\x07\ufffd"),
        (Stream(b"x" * 500), f", which ends with: {'x' * 159}…"),
        (Stream(b"one", refusal(libvirt.VIR_ERR_RPC)), ", which ends with: one"),
        (Stream(b"one", b""), ", which ends with: one"),
        (Stream(), ""),
        (Stream(*[b"y"] * 200), f", which ends with: {'y' * 64}"),
        (None, ""),
    ],
)
def test_the_last_line_of_a_console(stream: Any, said: str) -> None:
    console = Console(Guest(stream))
    console.read()
    assert console.said == said
    console.close()
    console.read()
    assert console.said == said
