"""The protocols of `link/handles.py` say what libvirt-python's own classes do.

What the calls answer is asked of libvirt's test driver, a host that lives in this process alone.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import libvirt
import pytest

from jvp.libvirt.link import handles

KINDS = {
    kind.__name__: kind
    for kind in vars(handles).values()
    if inspect.isclass(kind) and getattr(kind, "_is_protocol", False) and kind.__module__ == handles.__name__
}
OBJECTS = [name for name in KINDS if name != "Bound"]
METHODS = [
    pytest.param(kind, name, id=f"{kind}.{name}")
    for kind in KINDS
    for name, method in vars(KINDS[kind]).items()
    if inspect.isfunction(method) and not name.startswith("_")
]
ARGUMENTS: dict[tuple[str, str], tuple[Any, ...]] = {
    ("Connection", "interfaceLookupByName"): ("eth1",),
    ("Connection", "lookupByName"): ("guest",),
    ("Connection", "lookupByUUIDString"): ("6695eb01-f6a4-8304-79aa-97f2502e193f",),
    ("Connection", "networkLookupByName"): ("net",),
    ("Connection", "networkLookupByUUIDString"): ("dd8fe884-6c02-601e-7551-cca97df1c5df",),
    ("Connection", "storagePoolLookupByName"): ("pool",),
    ("Connection", "storagePoolLookupByTargetPath"): ("/pool",),
    ("Connection", "storagePoolLookupByUUIDString"): ("dfe224cb-28fb-8dd0-c4b2-64eb3f0f4566",),
    ("Connection", "storageVolLookupByPath"): ("/pool/disk",),
    ("Domain", "blockInfo"): ("vda",),
    ("Domain", "interfaceAddresses"): (0,),
    ("Domain", "setMemoryFlags"): (1024, 0),
    ("Domain", "setVcpusFlags"): (1, 0),
    ("StoragePool", "storageVolLookupByName"): ("disk",),
    ("StorageVol", "resize"): (2 << 20,),
    **{(kind, "setAutostart"): (1,) for kind in ("Domain", "Network", "StoragePool")},
}
"""What is asked with something; whatever needs nothing is asked without."""
LAST = [
    "suspend",
    "resume",
    "destroy",
    "build",
    "delete",
    "create",
    "shutdownFlags",
    "createWithFlags",
    "undefineFlags",
]
"""They change what the others ask, so they come after them, in this order."""
REFUSED = {
    "Connection": {
        "getDomainCapabilities",
        "listAllNWFilterBindings",
        "listAllNWFilters",
        "storagePoolLookupByTargetPath",
    },
    "Domain": {"abortJob", "fsThaw", "jobStats", "managedSaveGetXMLDesc", "pMWakeup"},
    "Network": {"DHCPLeases", "listAllPorts", "undefine"},
    "StoragePool": {"undefine"},
    "StorageVol": {"resize"},
    "Stream": {"finish", "recvHole"},
}
"""What the test driver has not, or not of an object in this state: the lab and the contract tests have real ones."""


def real(kind: str) -> type:
    found: type = getattr(libvirt, f"vir{ {'Connection': 'Connect'}.get(kind, kind) }")
    return found


def parameters(method: Callable[..., Any]) -> list[tuple[str, Any]]:
    """Names and defaults, without `self`; of a method that has been wrapped those of the real one."""
    found = inspect.signature(inspect.unwrap(method)).parameters.values()
    return [(one.name, one.default) for one in found][1:]


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_libvirts_class_has_the_method_with_these_arguments(kind: str, name: str) -> None:
    declared = parameters(getattr(KINDS[kind], name))
    for one in [kind] if kind != "Bound" else [other for other in OBJECTS if hasattr(KINDS[other], "connect")]:
        found = parameters(getattr(real(one), name))
        assert found[: len(declared)] == declared
        # A later libvirt may take more, if it does without.
        assert all(default is not inspect.Parameter.empty for _, default in found[len(declared) :])


def test_every_method_answers_something_and_says_what() -> None:
    untold = [one.id for one in METHODS if "return" not in get_type_hints(getattr(KINDS[one.values[0]], one.values[1]))]
    assert untold == []


HOST = """<node>
  <domain type='test'>
    <name>guest</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><memory>8192</memory><vcpu>2</vcpu>
    <os><type>hvm</type></os>
    <devices>
      <disk type='file' device='disk'><source file='/guest.img'/><target dev='vda' bus='virtio'/></disk>
      <interface type='network'><source network='net'/><target dev='testnet0'/></interface>
    </devices>
  </domain>
  <network>
    <name>net</name><uuid>dd8fe884-6c02-601e-7551-cca97df1c5df</uuid><bridge name='virbr0'/>
    <ip address='192.168.122.1' netmask='255.255.255.0'/>
  </network>
  <interface type='ethernet' name='eth1'/>
  <pool type='dir'>
    <name>pool</name><uuid>dfe224cb-28fb-8dd0-c4b2-64eb3f0f4566</uuid><target><path>/pool</path></target>
    <volume><name>disk</name><capacity unit='MiB'>1</capacity><target><path>/pool/disk</path></target></volume>
  </pool>
</node>"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """One object of each class, on a host of the test's own."""
    file = tmp_path / "host.xml"
    file.write_text(HOST, encoding="utf-8")
    connection = libvirt.open(f"test://{file}")
    domain, pool = connection.lookupByName("guest"), connection.storagePoolLookupByName("pool")
    yield {
        "Connection": connection,
        "Domain": domain,
        "DomainSnapshot": domain.snapshotCreateXML("<domainsnapshot><name>one</name></domainsnapshot>", 0),
        "Interface": connection.interfaceLookupByName("eth1"),
        "Network": connection.networkLookupByName("net"),
        "StoragePool": pool,
        "StorageVol": pool.storageVolLookupByName("disk"),
        "Stream": connection.newStream(0),
    }
    connection.close()


@pytest.mark.parametrize("kind", sorted({*OBJECTS} - {"NetworkPort", "NWFilter", "NWFilterBinding"}))
def test_libvirt_answers_what_the_protocol_says(kind: str, host: dict[str, Any]) -> None:
    wrong, refused = [], set()
    for name in sorted(_asked(kind), key=lambda name: LAST.index(name) if name in LAST else -1):
        try:
            answer = getattr(host[kind], name)(*ARGUMENTS.get((kind, name), ()))
        except libvirt.libvirtError:
            refused.add(name)
            continue
        if not fits(answer, get_type_hints(getattr(KINDS[kind], name))["return"]):
            wrong.append((name, answer))
    assert wrong == []
    assert refused <= REFUSED.get(kind, set())


def _asked(kind: str) -> Iterator[str]:
    """What needs no argument, and what has its arguments here."""
    for name, method in vars(KINDS[kind]).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            needed = [one for one, default in parameters(method) if default is inspect.Parameter.empty]
            if not needed or (kind, name) in ARGUMENTS:
                yield name


def fits(answer: Any, hint: Any) -> bool:
    """Whether an answer is of a type."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(answer, one) for one in inner)
    if origin is list:
        return isinstance(answer, list) and all(fits(one, inner[0]) for one in answer)
    if origin is tuple:
        return isinstance(answer, tuple) and len(answer) == len(inner) and all(map(fits, answer, inner))
    if origin is dict:
        pairs = answer.items() if isinstance(answer, dict) else [(None, None)]
        return all(fits(key, inner[0]) and fits(one, inner[1]) for key, one in pairs)
    if is_typeddict(hint):
        fields = get_type_hints(hint)
        return answer.keys() == fields.keys() and all(fits(answer[name], one) for name, one in fields.items())
    if hint in KINDS.values():
        return type(answer) is real(hint.__name__)
    return isinstance(answer, hint)


def test_an_answer_of_another_type_does_not_fit() -> None:
    assert fits([1, 0], list[int])
    assert not fits(["1"], list[int])
    assert not fits(None, str)
    assert not fits({"vda": "1"}, dict[str, int])
    assert fits((1, "a"), tuple[int, str])
    assert not fits((1, 1), tuple[int, str])
    assert not fits((1,), tuple[int, str])
    assert not fits({"addrs": None}, handles.GuestInterface)
    assert not fits("a domain", handles.Domain)
