"""A plan by an object's own mark is the plan that an engine makes by its state, whatever is taken out or changed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bag, Bench
from tests.contract.kinds import IMAGE, image

from jvp.core.diff import Change, Kind
from jvp.core.identity import DeclaredBy
from jvp.core.model import Spec, fields
from jvp.core.objects import Objects
from jvp.core.work import Work
from jvp.resources import registry
from jvp.resources.provider import Provider

CLI = DeclaredBy("cli", address="it")
Document = Callable[[Bench, str], Bag]


@pytest.fixture(scope="module")
def objects() -> Objects:
    """Of the owner that the bench's keys have."""
    made = registry.objects(Provider(virt_type="qemu"))
    made.owner = ""
    return made


@pytest.fixture(autouse=True)
def images(furnished: Bench) -> Iterator[None]:
    yield
    for path in Path("/var/tmp").glob(f"{furnished.prefix}image-*"):
        path.unlink()


def network(bench: Bench, name: str) -> Bag:
    cidr = bench.cidr()
    stem = cidr.rsplit(".", 1)[0]
    return {
        "name": name, "cidr": cidr, "mode": "nat", "gateway": f"{stem}.5", "domain": "example.test", "mtu": 1400,
        "dhcp": {"start": f"{stem}.20", "end": f"{stem}.30"}, "autostart": False, "active": True,
        "reservations": [{"name": "one", "mac": "52:54:00:00:00:01", "address": f"{stem}.21"}],
    }  # fmt: skip


def isolated(bench: Bench, name: str) -> Bag:
    return {"name": name, "mode": "isolated", "cidr": bench.cidr(), "dhcp": {}, "ipv6": {"cidr": "fd00:77::/64"},
            "reservations": []}  # fmt: skip


def pool(bench: Bench, name: str) -> Bag:
    return {"name": name, "path": f"{bench.folder}/{name}", "autostart": False, "deleteData": True, "active": True}


def volume(bench: Bench, name: str) -> Bag:
    return {"name": name, "pool": pool_of(bench), "size": "2048KiB", "format": "qcow2", "detachOnDelete": False,
            "fullClone": False}  # fmt: skip


def cloned(bench: Bench, name: str) -> Bag:
    return {"name": name, "pool": pool_id(bench), "volume": f"{pool_of(bench)}/{bench.volumes[0].state['name']}"}


def from_file(bench: Bench, name: str) -> Bag:
    return {"name": name, "pool": pool_id(bench), "imagePath": image(bench, "one", IMAGE), "format": "raw",
            "size": "3MiB"}  # fmt: skip


def template(bench: Bench, name: str) -> Bag:
    path = image(bench, "one", IMAGE)
    return {"name": name, "pool": pool_of(bench), "os": "none", "source": {"path": path, "format": "raw"}}


def machine(bench: Bench, name: str) -> Bag:
    assert bench.network is not None
    cidr = bench.network.state["cidr"]
    return {
        "name": name, "powerState": "stopped", "memory": "48MiB", "maxMemory": "64MiB", "cpus": 2, "maxCpus": 3,
        "rootDisk": {"pool": pool_of(bench), "size": "1MiB", "format": "raw", "bus": "sata",
                     "deleteWithInstance": True},
        "nics": [
            {"name": "eth0", "network": bench.network.state["name"], "mac": "52:54:00:00:01:01", "model": "e1000",
             "address": f"{cidr.rsplit('.', 1)[0]}.77", "hostname": "seven"},
            {"name": "eth1"},
        ],
        "disks": [
            {"name": "data", "volume": bench.volumes[0].id, "bus": "scsi", "serial": "mine", "readOnly": True},
            {"name": "more", "volume": f"{pool_of(bench)}/{bench.volumes[1].state['name']}"},
        ],
        "tpm": {"type": "emulator", "model": "tpm-tis"}, "watchdog": {"model": "i6300esb", "action": "none"},
        "rng": {"source": "/dev/random", "rate": 9},
        "filesystems": [{"tag": "src", "source": "/var/tmp", "driver": "9p", "readOnly": True, "accessMode": "mapped"}],
        "smbios": {"system": {"serial": "S"}, "oemStrings": ["one"]},
        "iso": bench.volumes[2].id, "firmware": "bios", "machine": "q35", "cpuMode": "qemu64", "virtType": "auto",
        "updatePolicy": "restart", "shutdownTimeout": "7s", "waitFor": "none", "waitTimeout": "9s", "autostart": True,
        "cloudInit": {
            "hostname": "guest", "onChange": "replace", "packages": ["a", "b"], "sshKeys": [],
            "users": [{"name": "u", "password": "not-to-be-shown", "sudo": True, "groups": ["adm"]}],
            "files": [{"path": "/etc/motd", "content": "hello", "permissions": "0644", "owner": "root"}],
            "runCommands": ["true"], "networkConfig": "version: 2\nethernets: {}",
            "vendorData": "#!/bin/sh", "metaData": {"role": "web"},
        },
    }  # fmt: skip


def kernel(bench: Bench, name: str) -> Bag:
    return {"name": name, "powerState": "unmanaged", "memory": "0.0625GiB", "nics": [], "disks": [],
            "directKernel": {"kernel": "/boot/none", "initrd": "/boot/no-initrd", "cmdline": "quiet"}}  # fmt: skip


DOCUMENTS: dict[str, tuple[str, Document]] = {
    "network": ("Network", network), "isolated": ("Network", isolated), "pool": ("StoragePool", pool),
    "volume": ("Volume", volume), "cloned": ("Volume", cloned), "file": ("Volume", from_file),
    "template": ("Template", template), "machine": ("Instance", machine), "kernel": ("Instance", kernel),
}  # fmt: skip


def pool_of(bench: Bench) -> str:
    assert bench.pool is not None
    return str(bench.pool.state["name"])


def pool_id(bench: Bench) -> str:
    assert bench.pool is not None
    return bench.pool.id


def without(model: type[Spec], raw: Bag) -> Iterator[tuple[str, Bag]]:
    """The document without each of its properties, with its name."""
    for name, facts in fields(model).items():
        if name not in raw:
            continue
        if name != "name" or not facts.computed:
            yield name, {one: value for one, value in raw.items() if one != name}
        value = raw[name]
        if facts.item is not None and isinstance(value, dict):
            for inner, less in without(facts.item, value):
                yield f"{name}.{inner}", {**raw, name: less}
        elif facts.item is not None and isinstance(value, list):
            for index, item in enumerate(value):
                yield f"{name}[{index}]", {**raw, name: [*value[:index], *value[index + 1 :]]}
                for inner, less in without(facts.item, item):
                    yield f"{name}[{index}].{inner}", {**raw, name: [*value[:index], less, *value[index + 1 :]]}


def shape(changes: Sequence[Change]) -> list[Any]:
    """What a plan changes. Of what is write-only the mark tells that it is another, and not in what."""
    return sorted(map(_shape, changes), key=repr)


def _shape(change: Change) -> Any:
    if change.path[0] == "cloudInit" and change.path[1:] != ("onChange",):
        return "cloudInit", change.effect
    # Of an item that goes the path is one in the state, whose items are in the host's order.
    gone = change.kind is Kind.DELETE and isinstance(change.path[-1], int)
    return (
        repr(change.path[:-1]),
        change.old.get("name") or change.old.get("tag") if gone else change.path[-1],
        change.kind,
        change.effect,
        change.note,
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_taken_out_is_planned_as_an_engine_plans_it(bench: Bench, objects: Objects, document: str) -> None:
    token, make = DOCUMENTS[document]
    raw = make(bench, bench.name("rec"))
    key = replace(bench.key(token, raw["name"]), declared_by=CLI)
    stored = bench.read(token, bench.calls.create(token, key, bench.inputs(token, raw), Work()).stored)
    assert stored is not None
    wrong, others = list[str](), copy.copy(objects)
    others.owner = "another"
    try:
        for what, less in [("nothing", raw), *without(objects.handlers[token].spec, raw)]:
            checked = bench.calls.check(token, less)
            if checked.failures or what == "cloudInit":  # what cannot be read stays as it is declared
                continue
            theirs = set(shape(bench.calls.diff(token, stored, checked, Work()).changes))
            ours = set(shape(objects.plan(token, stored.id, less, Work()).changes))
            wrong += [f"without {what}: an engine plans {theirs}, and {ours}"] if theirs != ours else []
            if what.endswith("]") or "cloudInit" in what:  # what is set is set as a whole
                continue
            # To another owner these are another program's names: nothing counts as taken out.
            left = shape(others.plan(token, stored.id, less, Work()).changes)
            wrong += [f"without {what} another owner plans {left}"] if left else []
    finally:
        bench.delete(token, stored)
    assert not wrong, "\n".join(wrong)
