"""What an object's own mark keeps of its declaration: written by create and update alone, and never secret."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import libvirt
import pytest
from lxml import etree
from tests.contract.conftest import Bag, Bench, domain_of
from tests.contract.counted import counting
from tests.contract.kinds import (
    KINDS,
    Kind,
    foreign_domain,
    foreign_firewall,
    foreign_network,
    foreign_pool,
    foreign_volume,
    record_of,
)

from jvp.core.declaration import Declaration, Noted
from jvp.core.identity import DeclaredBy, Key
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import Element, parse, put, text_of, value
from jvp.libvirt.network import filters

HERE = DeclaredBy.of("pulumi", "shop/dev", "urn:pulumi:dev::shop::::it")
THERE = DeclaredBy.of("terraform", "default", "jvp_it it")
SETTING: dict[str, tuple[Bag, Bag]] = {
    "StoragePool": ({"deleteData": True}, {"deleteData": True}),
    "Volume": ({"detachOnDelete": False}, {"detachOnDelete": False}),
    "Instance": ({"shutdownTimeout": "1s", "updatePolicy": "restart"},) * 2,
}
"""Of a kind, settings that act later, and how they are noted."""
ONE_OF_EACH = [kind for kind in KINDS if kind.id != "running instance"]


def noted(bench: Bench, token: str, object_id: str) -> Noted | None:
    found: Noted | None = bench.calls.handlers[token].noted(Work(), object_id)
    return found


def declaration(bench: Bench, token: str, object_id: str) -> Declaration:
    found = noted(bench, token, object_id)
    assert found is not None
    assert found.declaration is not None
    return found.declaration


def key_of(bench: Bench, token: str, name: str, by: DeclaredBy = HERE) -> Key:
    return replace(bench.key(token, name), declared_by=by)


def create(bench: Bench, token: str, raw: Bag) -> Stored:
    key = key_of(bench, token, raw["name"])
    return bench.calls.create(token, key, bench.inputs(token, raw), Work()).stored


def update(bench: Bench, token: str, stored: Stored, raw: Bag, key: Key | None = None) -> Stored:
    return bench.calls.update(token, stored, bench.inputs(token, raw), Work(), key).stored


def tops(found: Declaration) -> set[str]:
    return {name[0] for name in found.names}


def definition(bench: Bench, token: str, object_id: str) -> Element:
    if token == "Network":
        return parse(bench.connection.networkLookupByUUIDString(object_id).XMLDesc(1))
    if token == "Firewall":
        return filters.definition(bench.connection.nwfilterLookupByUUIDString(object_id))
    if token == "StoragePool":
        return parse(bench.connection.storagePoolLookupByUUIDString(object_id).XMLDesc(1))
    return parse(bench.connection.lookupByUUIDString(object_id).XMLDesc(2))


def write(bench: Bench, token: str, object_id: str, declared: str | None) -> None:
    """Write a note of this text into the object's mark, or as an older version none."""
    if "/" in object_id:
        path = record_of(bench, token, object_id)
        found = json.loads(path.read_text().rstrip("\0"))
        del found["declared"]
        path.write_text(json.dumps({**found, **({"declared": declared} if declared is not None else {})}).ljust(4096))
        return
    root = definition(bench, token, object_id)
    if token == "StoragePool":
        found = json.loads(value(root, "source/product/@name") or "")
        del found["declared"]
        found |= {"declared": declared} if declared is not None else {}
        put(root, "source/product/@name", json.dumps(found))
        bench.connection.storagePoolDefineXML(text_of(root))
        return
    element = marks.find(root)
    child = element.find(marks._DECLARED) if element is not None else None
    assert element is not None
    assert child is not None
    element.remove(child)
    if declared is not None:
        etree.SubElement(element, marks._DECLARED).text = declared
    if token == "Firewall":
        bench.connection.nwfilterDefineXML(text_of(filters._packed(root)))
        return
    define = bench.connection.networkDefineXML if token == "Network" else bench.connection.defineXML
    define(text_of(root))


@pytest.mark.parametrize("kind", ONE_OF_EACH, ids=lambda kind: kind.id)
def test_what_a_create_notes_an_update_changes_and_another_door_leaves(bench: Bench, kind: Kind) -> None:
    setting, as_noted = SETTING.get(kind.token, ({}, {}))
    raw = {**kind.minimal(bench, bench.name("decl")), **setting}
    stored = create(bench, kind.token, raw)
    first = declaration(bench, kind.token, stored.id)
    assert (tops(first), first.settings) == (set(raw), as_noted)
    read = bench.read(kind.token, stored)
    assert read is not None
    found = noted(bench, kind.token, stored.id)
    assert found is not None
    assert found.declaration == first
    assert found.mark is not None
    assert (found.mark.acknowledged, found.mark.declared_by) == (True, HERE)
    # By another door: the values alone, and what acts later is a value.
    less = {name: item for name, item in kind.changed(raw).items() if name not in setting}
    read = update(bench, kind.token, read, less)
    forced = noted(bench, kind.token, stored.id)
    assert forced is not None
    assert forced.mark is not None
    assert forced.mark.declared_by == HERE
    assert forced.declaration is not None
    assert (forced.declaration.names, forced.declaration.settings) == (first.names, {})
    # By a program that took it over.
    update(bench, kind.token, read, less, key_of(bench, kind.token, raw["name"], THERE))
    last = noted(bench, kind.token, stored.id)
    assert last is not None
    assert last.mark is not None
    assert last.mark.declared_by == THERE
    assert last.declaration is not None
    assert (tops(last.declaration), last.declaration.settings) == (set(less), {})
    bench.delete(kind.token, stored)
    assert noted(bench, kind.token, stored.id) is None


@pytest.mark.parametrize(
    ("token", "foreign", "remove"),
    [("Network", foreign_network, "undefine"), ("Firewall", foreign_firewall, "undefine"),
     ("StoragePool", foreign_pool, "undefine"),
     ("Volume", foreign_volume, "delete"), ("Instance", foreign_domain, "undefine")],
)  # fmt: skip
def test_of_a_foreign_object_nothing_is_known(bench: Bench, token: str, foreign: Any, remove: str) -> None:
    theirs = foreign(bench, {"name": bench.name("theirs"), "pool": bench.pool and bench.pool.id})
    try:
        place = theirs.name() if token != "Volume" else f"{bench.pool.id if bench.pool else ''}/{theirs.name()}"
        assert noted(bench, token, bench.calls.handlers[token].find(Work(), place)) == Noted()
    finally:
        getattr(theirs, remove)()


@pytest.mark.parametrize("token", ["Network", "Firewall", "StoragePool", "Instance"])
def test_an_import_notes_nothing_and_the_first_update_all_of_it(bench: Bench, token: str) -> None:
    name, connection = bench.name("theirs"), bench.connection
    if token == "Network":
        theirs = connection.networkDefineXML(f"<network><name>{name}</name><bridge name='v{name[-9:]}'/></network>")
    elif token == "Firewall":
        theirs = foreign_firewall(bench, {"name": name})
    elif token == "StoragePool":
        target = f"<target><path>{bench.folder}/{name}</path></target>"
        theirs = connection.storagePoolDefineXML(f"<pool type='dir'><name>{name}</name>{target}</pool>")
    else:
        theirs = connection.defineXML(
            f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><os><type>hvm</type></os><devices>"
            f"<disk type='file' device='disk'><source file='{bench.volumes[0].state['path']}'/>"
            "<driver name='qemu' type='qcow2'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
        )
    try:
        stored = bench.calls.import_(token, name, Work())
        assert stored is not None
        assert noted(bench, token, stored.id) == Noted()
        stored = update(bench, token, stored, stored.inputs, key_of(bench, token, name, THERE))
        found = noted(bench, token, stored.id)
        assert found is not None
        assert found.mark is not None
        assert (found.mark.key, found.mark.declared_by) == ("", THERE)
        assert found.declaration is not None
        assert tops(found.declaration) == set(stored.inputs)
    finally:
        theirs.undefine()


@pytest.mark.parametrize("kind", ONE_OF_EACH, ids=lambda kind: kind.id)
@pytest.mark.parametrize("declared", [None, "nonsense", '{"names":{"x\\u001b[1m":{}},"settings":{"deleteData":"yes"}}'])
def test_an_older_mark_reads_and_what_is_odd_in_one_is_dropped(bench: Bench, kind: Kind, declared: str | None) -> None:
    raw = kind.minimal(bench, bench.name("older"))
    stored = create(bench, kind.token, raw)
    write(bench, kind.token, stored.id, declared)
    found = noted(bench, kind.token, stored.id)
    assert found is not None
    assert found.mark is not None
    assert found.mark.declared_by == HERE
    assert found.declaration in (None, Declaration())
    stored = bench.converged(kind.token, stored, raw)
    update(bench, kind.token, stored, raw, key_of(bench, kind.token, raw["name"]))
    assert tops(declaration(bench, kind.token, stored.id)) == set(raw)
    bench.delete(kind.token, stored)


def test_a_setting_alone_is_written_once_and_what_is_noted_not_at_all(bench: Bench) -> None:
    assert bench.pool is not None
    raws: dict[str, Bag] = {
        "StoragePool": {"name": bench.name("once"), "path": f"{bench.folder}/once"},
        "Volume": {"name": bench.name("once"), "pool": bench.pool.id, "size": "1MiB"},
    }
    for (token, raw), written in zip(
        raws.items(), ("virStoragePoolDefineXML", "virStreamFinish"), strict=True
    ):  # fmt: skip
        key, stored = key_of(bench, token, raw["name"]), create(bench, token, raw)
        read = bench.read(token, stored)
        assert read is not None
        changed = {**raw, **SETTING[token][0]}
        with counting() as asked:
            read = update(bench, token, read, changed, key)
        assert asked[written] - asked["virStorageVolDownload"] == 1, asked
        assert declaration(bench, token, stored.id).settings == SETTING[token][1]
        with counting() as asked:
            read = update(bench, token, read, changed, key)
        assert asked[written] - asked["virStorageVolDownload"] == 0, asked
        bench.delete(token, read)


def test_of_a_secret_only_a_digest_is_noted_and_each_object_has_its_own(bench: Bench) -> None:
    assert bench.pool is not None
    password, made, found = "correct-horse-battery", list[Stored](), list[Declaration]()
    for _ in range(2):
        raw = {
            "name": bench.name("secret"), "powerState": "stopped", "memory": "32MiB",
            "rootDisk": {"pool": bench.pool.id, "size": "1MiB"},
            "cloudInit": {"users": [{"name": "eva", "password": password}], "onChange": "ignore"},
        }  # fmt: skip
        made.append(create(bench, "Instance", raw))
        found.append(declaration(bench, "Instance", made[-1].id))
    text = domain_of(bench, made[0]).XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_INACTIVE)
    assert password not in text
    assert "eva" not in text
    assert found[0].digests["cloudInit"] != found[1].digests["cloudInit"]
    assert found[0].settings["cloudInit"] == {"onChange": "ignore"}
    spec = bench.calls.handlers["Instance"].spec
    whole = bench.calls.check("Instance", raw).whole["cloudInit"]
    other = {**whole, "users": [{**whole["users"][0], "password": f"{password}!"}]}
    for one in found:
        assert one.matches(spec, ("cloudInit",), whole)
        assert not one.matches(spec, ("cloudInit",), other)
    for stored in made:
        bench.delete("Instance", stored)


def test_only_what_is_write_only_costs_a_digest(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """9 ms of CPU."""
    raw = next(kind for kind in KINDS if kind.id == "stopped instance").minimal(bench, "any")
    spec, asked = bench.calls.handlers["Instance"].spec, list[int]()
    monkeypatch.setattr(hashlib, "scrypt", lambda _, *, n, **__: asked.append(n) or b"")  # type: ignore[func-returns-value]
    for given in (raw, {name: item for name, item in raw.items() if name != "cloudInit"}):
        checked = bench.calls.check("Instance", given)
        Declaration.of(spec, checked.inputs, checked.whole, "id")
    assert asked == [2**12]


def test_how_a_stopped_pool_is_to_be_deleted_is_known_from_its_mark(bench: Bench) -> None:
    raw = {"name": bench.name("stopped"), "path": f"{bench.folder}/stopped", "deleteData": True}
    stored = create(bench, "StoragePool", raw)
    bench.connection.storagePoolLookupByUUIDString(stored.id).destroy()
    assert declaration(bench, "StoragePool", stored.id).settings == {"deleteData": True}
    bench.delete("StoragePool", stored)


def test_a_renamed_instance_keeps_it_and_a_copy_of_one_is_nobodys(bench: Bench) -> None:
    raw = {**next(kind for kind in KINDS if kind.id == "stopped instance").minimal(bench, bench.name("it"))}
    stored = create(bench, "Instance", raw)
    before = noted(bench, "Instance", stored.id)
    domain_of(bench, stored).rename(bench.name("renamed"), 0)
    assert noted(bench, "Instance", stored.id) == before
    root = definition(bench, "Instance", stored.id)
    uuid = root.find("uuid")
    assert uuid is not None
    root.remove(uuid)
    put(root, "name", bench.name("copy"))
    for card in root.iterfind("devices/interface"):
        card.remove(card[0])
    copy = bench.connection.defineXML(text_of(root))
    try:
        assert noted(bench, "Instance", copy.UUIDString()) == Noted()
        assert not devices.is_ours(devices.inactive_xml(copy))
        found, _ = bench.calls.invoke("getInstances", {"name": copy.name(), "ours": False, "details": True}, Work())
        assert found is not None
        assert [one.get("declaredBy") for one in found["instances"]] == [None]
    finally:
        copy.undefine()
    bench.delete("Instance", stored)


def test_a_long_declaration_gives_way_where_there_is_no_room(bench: Bench) -> None:
    assert bench.pool is not None
    raw = {
        "name": bench.name("long"), "powerState": "stopped", "memory": "32MiB", "shutdownTimeout": "9s",
        "rootDisk": {"pool": bench.pool.id, "size": "1MiB"},
        "nics": [{"name": f"{number:032}", "model": "virtio", "mac": f"52:54:00:00:00:{number:02x}"}
                 for number in range(150)],
    }  # fmt: skip
    stored = create(bench, "Instance", raw)
    element = marks.find(definition(bench, "Instance", stored.id))
    assert element is not None
    assert len(etree.tostring(element)) <= marks.MOST
    found = declaration(bench, "Instance", stored.id)
    assert found.settings["shutdownTimeout"] == "9s"
    bench.delete("Instance", stored)
