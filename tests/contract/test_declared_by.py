"""Every object of ours says who declares it, and what was imported says so after the first update."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.contract.kinds import KINDS, Kind, record_of

from jvp.core.errors import NameTaken
from jvp.core.identity import DeclaredBy
from jvp.core.work import Work
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import parse
from jvp.libvirt.network import filters
from jvp.libvirt.storage import pool_mark

HERE = DeclaredBy.of("pulumi", "shop/dev", "urn:pulumi:dev::shop::::it")
THERE = DeclaredBy.of("terraform", "default", "jvp_it it")
ONE_OF_EACH = [kind for kind in KINDS if kind.id != "running instance"]


def noted(bench: Bench, token: str, object_id: str) -> DeclaredBy | None:
    """As it stands on the object."""
    if token == "Network":
        element = marks.find(parse(bench.connection.networkLookupByUUIDString(object_id).XMLDesc(1)))
    elif token == "Firewall":
        element = marks.find(filters.definition(bench.connection.nwfilterLookupByUUIDString(object_id)))
    elif token == "Instance":
        element = marks.find(parse(bench.connection.lookupByUUIDString(object_id).XMLDesc(2)))
    elif token == "StoragePool":
        pool = pool_mark.noted(parse(bench.connection.storagePoolLookupByUUIDString(object_id).XMLDesc(1)))
        return pool.mark.declared_by if pool is not None else None
    else:
        record = record_of(bench, token, object_id)
        return DeclaredBy.read(json.loads(record.read_text().rstrip("\0")).get("declaredBy"))
    return marks.parsed(element).declared_by if element is not None else None


@pytest.mark.parametrize("kind", ONE_OF_EACH, ids=lambda kind: kind.id)
def test_it_is_noted_follows_the_program_and_stands_in_the_refusal(bench: Bench, kind: Kind) -> None:
    name = bench.name("by")
    raw = kind.minimal(bench, name)
    key = replace(bench.key(kind.token, name), declared_by=HERE)
    stored = bench.calls.create(kind.token, key, bench.inputs(kind.token, raw), Work()).stored
    assert noted(bench, kind.token, stored.id) == HERE
    read = bench.read(kind.token, stored)
    assert read is not None
    assert noted(bench, kind.token, stored.id) == HERE
    with pytest.raises(NameTaken, match=r'made \(the Pulumi stack "shop/dev", urn:pulumi:dev::shop::::it\)'):
        bench.create(kind.token, f"{name}-other", raw)
    # A stack that was renamed, or a program that took it over.
    inputs = bench.inputs(kind.token, kind.changed(raw))
    moved = replace(key, declared_by=THERE)
    stored = bench.calls.update(kind.token, read, inputs, Work(), moved).stored
    assert noted(bench, kind.token, stored.id) == THERE
    bench.delete(kind.token, stored)


DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><os><type>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>"""


@pytest.mark.parametrize("token", ["Network", "StoragePool", "Instance"])
def test_an_import_writes_nothing_and_the_first_update_notes_it(bench: Bench, token: str) -> None:
    """Not of a volume: a record would make it one of ours."""
    name, connection = bench.name("theirs"), bench.connection
    if token == "Network":
        bridge = f"v{name[-9:]}"
        theirs = connection.networkDefineXML(f"<network><name>{name}</name><bridge name='{bridge}'/></network>")
    elif token == "StoragePool":
        target = f"<target><path>{bench.folder}/{name}</path></target>"
        theirs = connection.storagePoolDefineXML(f"<pool type='dir'><name>{name}</name>{target}</pool>")
    else:
        theirs = connection.defineXML(DOMAIN.format(name=name, disk=bench.volumes[0].state["path"]))
    key = replace(bench.key(token, name), declared_by=THERE)
    try:
        stored: Any = bench.calls.import_(token, name, Work())
        assert noted(bench, token, stored.id) is None
        stored = bench.calls.update(token, stored, stored.inputs, Work(), key).stored
        assert noted(bench, token, stored.id) == THERE
        read = bench.read(token, stored)
        assert read is not None
        assert bench.plan(token, read, stored.inputs) == []
    finally:
        theirs.undefine()
