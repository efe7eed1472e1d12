"""Whatever an agent, a lease, a definition, a file or a clock says is read as what it claims to be, or dropped.

Nothing of it is ever an error that nobody expected.
"""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import libvirt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.libvirt.absurd import TEXTS, Daemon, Node, Pool, Thing, spoiled

from jvp.core.calls import Calls
from jvp.core.errors import Bug, JvpError
from jvp.core.stored import Stored
from jvp.core.types import address_of
from jvp.core.work import Work
from jvp.libvirt.domain.addresses import MOST, agent_addresses
from jvp.libvirt.domain.guest import leases_of, set_aside
from jvp.libvirt.link import told
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.xml import parse, volume_xml
from jvp.libvirt.storage import volume_record
from jvp.libvirt.storage.templates import Record
from jvp.resources.instance.handler import Instances
from jvp.resources.network.functions import GetNetworkLeases, GetNetworkLeasesArgs
from jvp.resources.network.handler import Networks
from jvp.resources.provider import Provider
from jvp.resources.storage.pool import StoragePools
from jvp.resources.storage.volume import Volumes

GOLDEN = Path(__file__).parents[1] / "resources" / "golden"
MAC = "52:54:00:00:00:01"
CARD = parse(f"<domain><devices><interface type='network'><mac address='{MAC}'/></interface></devices></domain>")
NOTES = """<metadata><j:mark xmlns:j="urn:jvp:mark:1" key="k" generation="0" acknowledged="yes" template="p/t"
created="2026-01-01T00:00:00Z" boot="3" format="qcow2" wrote="{}" leases='[["52:54:00:ab:cd:ef","10.0.0.9",5]]'
addresses='[["n","52:54:00:ab:cd:ef"]]'><j:pending path="memory">because</j:pending></j:mark></metadata></domain>"""
OURS = (GOLDEN / "instance-full.xml").read_text().replace("</domain>", NOTES)
CELLS = "<topology sockets='2' cores='2' threads='1'/><numa><cell id='0' cpus='0-1' memory='9'/></numa></cpu>"
DIMM = "<memory model='dimm'><target><size>9</size></target></memory></devices>"
LAID_OUT = OURS.replace("</cpu>", CELLS).replace("</devices>", DIMM)
INSTANCES = [OURS, LAID_OUT, *((GOLDEN / f"instance-{name}.xml").read_text() for name in ("full", "disk", "maximum"))]
NETWORKS = [path.read_text() for path in sorted(GOLDEN.glob("network-*.xml"))]
ANYTHING = TEXTS | st.none() | st.integers(-(2**70), 2**70) | st.floats()
VOLUME = """<volume type='file'><name>a</name><key>/p/a</key><capacity unit='bytes'>1024</capacity>
<allocation unit='bytes'>512</allocation><physical unit='bytes'>1024</physical><target><path>/p/a</path>
<format type='qcow2'/></target><backingStore><path>/p/b</path><format type='raw'/></backingStore></volume>"""
POOL = """<pool type='dir'><name>a</name><uuid>5e0f4a42-0b1c-4b6e-9a52-4f2f5b8f8a10</uuid>
<capacity unit='bytes'>9</capacity><source><vendor name='jvp'/><product name='{"mark":{"key":"k","generation":0,
"acknowledged":true,"owner":""},"made":true,"marked":true}'/></source><target><path>/p</path></target></pool>"""


@contextlib.contextmanager
def no_defect() -> Any:
    """A refusal in a sentence is an answer too."""
    try:
        yield
    except Bug as error:
        pytest.fail(error.message)
    except (JvpError, libvirt.libvirtError):
        pass


UUID = Thing.UUIDString(Thing(None, ""))


def read_and_plan(token: str, object_id: str, calm: Calls, spoiled: Calls) -> None:
    """Import an object, read it as one in a state, and plan an update of it, before and after it became absurd."""
    known = calm.import_(token, object_id, Work())
    assert known is not None
    with no_defect():
        spoiled.import_(token, object_id, Work())
    for stored in (known, Stored(known.id, known.inputs, known.state, {"schema": 1})):
        with no_defect():
            read = spoiled.read(token, stored, Work())
            assert read is not None
            wanted = calm.check(token, known.inputs).inputs
            spoiled.diff(token, read, wanted, Work())
            spoiled.preview_update(token, read, wanted, Work())


@given(st.lists(st.dictionaries(st.sampled_from(["addr", "prefix", "type"]), ANYTHING)) | st.none())
def test_an_agents_answer(rows: Any) -> None:
    answer = {"eth0": {"hwaddr": MAC, "addrs": rows}}
    domain = Thing(None, "", agentSetResponseTimeout=0, interfaceAddresses=answer)
    for one in agent_addresses(domain, CARD) or ():
        assert str(address_of(one.address)) == one.address


def test_an_agent_cannot_tell_without_an_end() -> None:
    rows = [{"addr": f"10.0.{number // 256}.{number % 256}"} for number in range(1, 5000)]
    domain = Thing(None, "", agentSetResponseTimeout=0, interfaceAddresses={"e": {"hwaddr": MAC, "addrs": rows}})
    assert len(agent_addresses(domain, CARD) or ()) == MOST


@given(ANYTHING, st.integers(-(2**63), 2**63), ANYTHING, ANYTHING, st.sampled_from(NETWORKS).flatmap(spoiled))
def test_a_lease(address: Any, end: int, mac: Any, hostname: Any, xml: str) -> None:
    rows = [{"ipaddr": address, "expirytime": end, "mac": mac, "hostname": hostname}]
    network = Thing(None, xml, isActive=1, DHCPLeases=rows)
    daemon = Daemon(networkLookupByName=network, listAllNetworks=[network])
    with no_defect():
        leases_of(daemon, "a", MAC)
        told_leases = GetNetworkLeases(Node(daemon)).call(Work(), GetNetworkLeasesArgs(network="a")).leases
        assert all(str(address_of(one.address)) == one.address for one in told_leases)


def instances(inactive: str, live: str, network: str, volume: str, *, active: bool) -> Calls:
    domain = Thing(
        None, inactive, isActive=active, isPersistent=1, autostart=1, state=[1, 1], ID=3 if active else -1,
        hasManagedSaveImage=0, listAllSnapshots=[], interfaceAddresses={}, agentSetResponseTimeout=0,
        blockInfo=[0, 0, 0],
    )  # fmt: skip
    domain.XMLDesc = lambda flags=0: inactive if flags & libvirt.VIR_DOMAIN_XML_INACTIVE else live  # type: ignore[method-assign]
    lease = {"ipaddr": "10.0.0.9", "expirytime": 2**40, "mac": MAC}
    net = Thing(None, network, isActive=1, DHCPLeases=[lease])
    daemon = Daemon(
        lookupByUUIDString=domain, lookupByName=domain, listAllDomains=[domain], defineXML=domain,
        networkLookupByName=net, listAllNetworks=[net],
    )  # fmt: skip
    domain._connection = daemon
    Pool(daemon, POOL, volume)
    return Calls({"Instance": Instances(Node(daemon), Provider(virt_type="qemu"))}, {})


@settings(max_examples=100)
@given(st.data(), st.booleans())
def test_an_instances_definition(data: st.DataObject, active: bool) -> None:
    text, network = data.draw(st.sampled_from(INSTANCES)), data.draw(st.sampled_from(NETWORKS))
    inactive, live, lan, volume = (data.draw(spoiled(one)) for one in (text, text, network, VOLUME))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jvp.libvirt.domain.guest.BALLOON_STILL", 0)
        calm = instances(text, text, network, VOLUME, active=active)
        read_and_plan("Instance", UUID, calm, instances(inactive, live, lan, volume, active=active))


def test_an_instance_that_is_defined_without_memory() -> None:
    text = INSTANCES[0]
    without = re.sub(r"(<(memory|currentMemory) [^>]*>)[^<]*", r"\1", text)
    assert without != text
    calm = instances(text, text, NETWORKS[0], VOLUME, active=False)
    read_and_plan("Instance", UUID, calm, instances(without, without, NETWORKS[0], VOLUME, active=False))


def networks(xml: str, *, active: bool) -> Calls:
    network = Thing(None, xml, isActive=active, isPersistent=1, autostart=1, listAllPorts=[])
    daemon = Daemon(networkLookupByUUIDString=network, networkLookupByName=network, listAllNetworks=[network])
    network._connection = daemon
    return Calls({"Network": Networks(Node(daemon))}, {})


@settings(max_examples=100)
@given(st.data(), st.sampled_from(NETWORKS), st.booleans())
def test_a_networks_definition(data: st.DataObject, xml: str, active: bool) -> None:
    bad = data.draw(spoiled(xml))
    read_and_plan("Network", UUID, networks(xml, active=active), networks(bad, active=active))


def stores(pool: str, volume: str, info: list[int]) -> Calls:
    daemon = Daemon()
    Pool(daemon, pool, volume)._answers["info"] = info
    return Calls({"Volume": Volumes(Node(daemon)), "StoragePool": StoragePools(Node(daemon))}, {})


@given(spoiled(POOL), spoiled(VOLUME), st.lists(st.integers(0, 2**64), min_size=4, max_size=4))
def test_the_definitions_of_a_pool_and_a_volume(pool: str, volume: str, info: list[int]) -> None:
    calm, bad = stores(POOL, VOLUME, [2, 9, 4, 5]), stores(pool, volume, info)
    read_and_plan("StoragePool", UUID, calm, bad)
    read_and_plan("Volume", f"{UUID}/a", calm, bad)


@given(st.recursive(ANYTHING | st.booleans(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_our_own_notes_in_the_hands_of_others(found: Any) -> None:
    with contextlib.suppress(ValueError), no_defect():
        raw = {"version": 1, "kind": "volume", "mark": {"key": "k", "generation": 0}, "phase": "whole", "nonce": "n",
               "format": "raw", "facts": {}}  # fmt: skip
        for name in raw:
            volume_record.parsed(json.dumps({**raw, name: found}).encode())
        for name in ("superseded", "going", "size", "source", "current", "birth"):
            read = volume_record.parsed(json.dumps({**raw, "facts": {name: found}}).encode())
            assert read is None or Record.of(read).generations is not None


@given(TEXTS)
def test_leases_that_were_set_aside(text: str) -> None:
    root = parse("<domain><metadata><j:mark xmlns:j='urn:jvp:mark:1' key='k'/></metadata></domain>")
    root[0][0].set("leases", text)
    assert all(isinstance(one.address, str) for one in set_aside(root))


@given(ANYTHING)
def test_what_is_told(found: Any) -> None:
    for read in (told.number, told.address, told.mac, told.host_name, told.time):
        assert read(found) is None or isinstance(read(found), str | int)


class Undecodable:
    """A volume whose file's name is no text, as libvirt's Python binding gives it."""

    def XMLDesc(self, _flags: int) -> str:
        return b"<volume><name>a\xff</name></volume>".decode()


def test_a_name_that_is_no_text() -> None:
    assert volume_xml(Undecodable()).findtext("name") == r"a\xff"
    assert parse("<volume><name>a\ufffe</name></volume>").findtext("name") == "a\ufffd"
    with (
        pytest.raises(JvpError, match=r'volume "b": libvirt says what is no text: a\\xff'),
        libvirt_errors('volume "b"'),
    ):
        b"a\xff".decode()
