"""A daemon that says what no daemon should: definitions with values that are none, to be read all the same."""

from __future__ import annotations

import copy
from typing import Any

import libvirt
from hypothesis import strategies as st

from jvp.libvirt.link import node
from jvp.libvirt.link.xml import Element, parse, text_of

TEXTS = st.sampled_from(
    ["", " ", "-1", "0", "1", "007", "1e9", "nan", "inf", "0x10", "1.5", "99999999999999999999", "9" * 5000, "\u0663",
     "18446744073709551615", "9223372036854775808", "::1%eth0", "10.0.0.256", "fe80::1%\u202e", "<{%evil%}>",
     "a" * 5000, "[" * 5000, "{}", "[]", "[[1]]", '[["a"]]', "null", '{"a": 1}', "../..", "/", "\u202e", "yes", "raw",
     "qcow2", "52:54:00", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "255.0.255.0", "129", "3000000000-01-01"]
) | st.text("0123456789abc:./-%<{}[]\"' ", max_size=30)  # fmt: skip
"""What may stand where a number, an address, a name or our own notes are expected."""
CODES = {
    "networkLookup": libvirt.VIR_ERR_NO_NETWORK, "storagePoolLookup": libvirt.VIR_ERR_NO_STORAGE_POOL,
    "storageVolLookup": libvirt.VIR_ERR_NO_STORAGE_VOL, "lookup": libvirt.VIR_ERR_NO_DOMAIN,
    "interfaceLookup": libvirt.VIR_ERR_NO_INTERFACE,
}  # fmt: skip


CAPABILITIES = "<capabilities><host><uuid>host-uuid</uuid><cpu><arch>x86_64</arch></cpu></host></capabilities>"


def refusal(code: int) -> libvirt.libvirtError:
    error = libvirt.libvirtError("no")
    error.err = (code, 0, "no", 0, None, None, None, 0, 0)
    return error


@st.composite
def spoiled(draw: Any, xml: str) -> str:
    """The definition with a few attributes and texts that are absurd, and elements that are missing or there twice."""
    root = parse(xml)
    for _ in range(draw(st.integers(1, 4))):
        element = draw(st.sampled_from([one for one in root.iter() if isinstance(one.tag, str)]))
        _spoil(draw, root, element)
    return text_of(root)


def _spoil(draw: Any, root: Element, element: Element) -> None:
    parent = element.getparent()
    kind = draw(st.sampled_from(["attribute", "text", "twice", "gone"]))
    if kind == "attribute" and element.attrib:
        element.set(draw(st.sampled_from(sorted(map(str, element.attrib)))), draw(TEXTS))
    elif kind == "text" and element.tag not in ("uuid",):
        element.text = draw(TEXTS)
    elif kind == "twice" and parent is not None:
        parent.append(copy.deepcopy(element))
    elif kind == "gone" and parent is not None and element.tag not in ("name", "uuid"):
        parent.remove(element)


class Thing:
    """A domain, network, pool or volume that says what its XML says, and else nothing."""

    def __init__(self, connection: Any, xml: str, **answers: Any) -> None:
        self._connection, self._xml, self._answers = connection, xml, answers

    def connect(self) -> Any:
        return self._connection

    def XMLDesc(self, _flags: int = 0) -> str:
        return self._xml

    def name(self) -> str:
        return "a"

    def UUIDString(self) -> str:
        return "5e0f4a42-0b1c-4b6e-9a52-4f2f5b8f8a10"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        answers = self._answers

        def answer(*_arguments: Any) -> Any:
            if name in answers:
                return answers[name]
            raise refusal(libvirt.VIR_ERR_OPERATION_INVALID)

        return answer


class Daemon:
    """A connection on which there is nothing but what a test puts there."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            "isAlive": True,
            "getURI": "test:///",
            "getHostname": "host",
            "getCapabilities": CAPABILITIES,
            **answers,
        }

    def __getattr__(self, name: str) -> Any:
        def answer(*_arguments: Any) -> Any:
            if name in self.answers:
                found = self.answers[name]
                return found(*_arguments) if callable(found) else found
            if name.startswith("list"):
                return []
            code = next((code for start, code in CODES.items() if name.startswith(start)), None)
            raise refusal(code or libvirt.VIR_ERR_NO_SUPPORT)

        return answer


class Pool(Thing):
    """An active pool in which there is a volume of every name and at every path, and no record."""

    def __init__(self, daemon: Daemon, xml: str, volume: str) -> None:
        super().__init__(daemon, xml, isActive=1, listVolumes=["a"], refresh=0, info=[2, 9, 4, 5], autostart=1)
        self._volume = volume
        daemon.answers |= {
            "storageVolLookupByPath": lambda path: self.storageVolLookupByName(path.rpartition("/")[2]),
            "listAllStoragePools": [self],
            **{f"storagePoolLookupBy{how}": self for how in ("Name", "UUIDString", "TargetPath")},
        }

    def listAllVolumes(self, _flags: int) -> list[Thing]:
        return [self.storageVolLookupByName("a")]

    def storageVolLookupByName(self, name: str) -> Thing:
        if name.startswith("."):
            raise refusal(libvirt.VIR_ERR_NO_STORAGE_VOL)
        found = Thing(self._connection, self._volume, info=[0, 1024, 512], storagePoolLookupByVolume=self)
        found._answers |= {"path": f"/p/{name}"}
        found.name = lambda: name  # type: ignore[method-assign]
        return found


class Node(node.Node):
    """The node of such a daemon."""

    def __init__(self, connection: Any) -> None:
        super().__init__("test:///default")
        self._only = connection

    @property
    def connection(self) -> Any:
        return self._only
