"""Configurations for the oracle: random ones of every kind, valid, with holes, and with what is known only later.

A pool has the values to choose from for each attribute: a list of plain ones, a dict for a nested object, a list of
one dict for a list of them, and a `Keyed` for a map of them. What comes out wrong is mended by what the provider says
about it, so that the rules across attributes are written down once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from host_rules import Attribute, Block
from hypothesis import strategies as st
from terraform_rpc import Said

from jvp.core.values import UNKNOWN

Raw = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]
Failures = Callable[[Raw], list[Said]]
REPAIRS = 12


class Keyed(dict[str, Any]):
    """The pool of the objects in a map."""


NAMES = ["a", "b", "c"]
SIZES = ["1GiB", "1024MiB", "2GiB", "2048MiB"]
MACS = ["52:54:00:00:00:0a", "52:54:00:00:00:0A", "52:54:00:00:00:0b"]
TIMEOUTS = {"create": ["20m", "1h"], "update": ["60s"], "delete": ["60s"]}
DHCP = {"enabled": [True, False], "start": ["10.9.0.10"], "end": ["10.9.0.99"], "lease_time": ["1h", "60m", "2h"]}

POOLS: dict[str, Raw] = {
    "jvp_gadget": {
        "name": ["thing", "other"], "size": SIZES, "speed": [1, 2, 12], "mode": ["fast", "slow"],
        "home": ["here", "there"], "slots": [{"name": NAMES, "mac": MACS, "note": ["x", ""]}],
        "tags": [{}, {"a": "1"}, {"a": "2", "b": ""}, {"a": UNKNOWN, "b": "2"}], "corner": ["left", "kitchen"],
        "rack": {"room": ["kitchen", "cellar"], "shelf": [1, 2], "side": ["left", "right"],
                 "labels": [[], ["x"], ["x", UNKNOWN]]},
        "drawers": Keyed({"width": SIZES, "lock": ["latch", "bolt"], "note": ["x", ""], "lining": ["felt"],
                          "code": ["hunter24"], "code_wo": ["hunter25"], "code_wo_version": [1, 2]}),
        "password": ["hunter22"], "password_wo": ["hunter23"], "password_wo_version": [1, 2],
        "timeouts": TIMEOUTS, "adopt": [True, False],
    },
    "jvp_network": {
        "name": ["net"], "mode": ["nat", "route", "open", "isolated", "bridge"], "cidr": ["10.9.0.0/24"],
        "gateway": ["10.9.0.1", "10.9.0.9"], "dhcp": DHCP,
        "reservations": [{"name": ["host-a", "HOST-a", "host-b"], "mac": MACS, "address": ["10.9.0.20", "10.9.0.21"]}],
        "ipv6": {"cidr": ["fd00:9::/64", "FD00:9:0::/64"], "gateway": ["fd00:9::1"],
                 "dhcp": {"enabled": [True, False], "lease_time": ["1h"]}},
        "dns": {"hosts": [{"address": ["10.9.0.30", "10.9.0.31"], "names": [["www"], ["www", "db"]]}],
                "srv": [{"name": ["_ldap._tcp"]}], "forwarders": [[], ["10.0.0.1"]],
                "zones": [{"name": ["corp.example"], "forwarders": [["10.0.0.2"]]}]},
        "routes": [{"cidr": ["10.20.0.0/16", "10.21.0.0/16"], "gateway": ["10.9.0.5"], "metric": [1, 2]}],
        "domain": ["lab.example", "LAB.example"], "mtu": [1500, 9000], "bridge": ["virbr7", "virbr8"],
        "autostart": [True, False], "active": [True, False], "timeouts": TIMEOUTS,
    },
    "jvp_storage_pool": {
        "name": ["pool"], "path": ["/srv/pool", "/srv/./pool", "/srv/other"], "autostart": [True, False],
        "active": [True, False], "delete_data": [True, False], "timeouts": TIMEOUTS,
    },
    "jvp_volume": {
        "name": ["disk"], "pool": ["p", "q"], "size": SIZES, "format": ["qcow2", "raw"], "template": ["t"],
        "volume": ["p/v"], "snapshot": ["vm/s", "vm/t"], "disk": ["root", "data"], "image_path": ["/srv/no-such-image"],
        "image_url": ["https://host.example/a.qcow2"], "image_checksum": ["sha256:" + 64 * "0"],
        "image_upload": ["sha256:" + 64 * "0"],
        "full_clone": [True, False], "detach_on_delete": [True, False], "timeouts": TIMEOUTS,
    },
    "jvp_template": {
        "name": ["debian"], "pool": ["p", "q"], "os": ["debian-12", ""],
        "source": {"path": [str(Path(__file__)), "/srv/no-such-image"], "url": ["https://host.example/a.qcow2"],
                   "upload": ["sha256:" + 64 * "0"], "snapshot": ["vm/s"], "disk": ["root", "data"], "volume": ["p/v"],
                   "checksum": ["sha256:" + 64 * "0", "sha512:https://host.example/SHA512SUMS"],
                   "allow_private_redirects": [True, False]},
        "timeouts": TIMEOUTS,
    },
    "jvp_instance": {
        "name": ["vm", "other"], "template": ["t"], "snapshot": ["vm/s"],
        "snapshot_disks": ["all", "root"], "iso": ["p/cd"],
        "root_disk": {"pool": ["p"], "size": SIZES, "delete_with_instance": [True, False]},
        "cpus": [1, 2], "max_cpus": [2, 4], "memory": SIZES, "max_memory": ["2GiB", "2048MiB"],
        "disks": [{"name": NAMES, "volume": ["p/x", "p/y"], "read_only": [True, False]}],
        "nics": [{"name": NAMES, "network": ["n"], "mac": MACS, "model": ["virtio", "e1000"],
                  "address": ["10.9.0.20", "10.9.0.21"], "hostname": ["host-a", "HOST-a", "host-b"]}],
        "cloud_init": {
            "hostname": ["guest"], "ssh_keys": [[], ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me"]],
            "users": [{"name": ["admin", "guest"], "ssh_keys": [[]], "password": ["hunter22"], "sudo": [True, False],
                       "password_wo": ["hunter23"], "password_wo_version": [1, 2],
                       "groups": [[], ["adm", UNKNOWN]], "shell": ["/bin/sh"]}],
            "packages": [[], ["htop"]], "run_commands": [["true"]], "user_data": ["#!/bin/sh"],
            "user_data_wo": ["#!/bin/bash"], "user_data_wo_version": [1, 2],
            "files": [{"path": ["/etc/a", "/etc/b"], "content": ["x", ""], "permissions": ["0644", "644"],
                       "owner": ["root:adm"]}],
            "vendor_data": ["#cloud-config\n{}"], "meta_data": [{}, {"role": "web"}],
            "network_config": ["version: 2\nethernets: {}"], "on_change": ["nextBoot", "replace", "ignore"],
        },
        "direct_kernel": {"kernel": ["/boot/k"], "initrd": ["/boot/i"], "cmdline": ["quiet", ""]},
        "tpm": {"type": ["emulator"], "model": ["tpm-crb", "tpm-tis"]},
        "rng": {"source": ["/dev/urandom", "/dev/random"], "rate": [1, 4096]},
        "filesystems": [{"tag": NAMES, "source": ["/srv/a", "/srv/b"], "driver": ["9p", "virtiofs"],
                         "access_mode": ["passthrough"], "read_only": [False]}],
        "smbios": {"system": {"serial": ["S-1", "S-2"]}, "baseboard": {"asset": ["B"]}, "chassis": {"sku": ["C"]},
                   "oem_strings": [[], ["one"], ["one", "two"]]},
        "firmware": ["bios", "uefi"], "machine": ["q35", "pc-q35-7.2", "pc"], "cpu_mode": ["Nehalem"],
        "cpu": {"features": [{}, {"vmx": "require"}],
                "topology": {"sockets": [1], "dies": [1], "cores": [1, 2], "threads": [1]}},
        "cpuset": ["0", "0-1,^1"],
        "clock": {"offset": ["utc", "localtime", "timezone"], "timezone": ["Europe/Berlin", "Asia/Tokyo"],
                  "timers": [{"name": ["rtc", "hpet"], "present": [True, False], "tickpolicy": ["catchup", "delay"]}]},
        "virt_type": ["auto", "qemu"], "power_state": ["running", "stopped", "unmanaged"],
        "update_policy": ["live", "restart"], "shutdown_timeout": ["60s", "1m"], "autostart": [True, False],
        "wait_for": ["none", "ip", "agent"], "wait_timeout": ["5m", "300s"], "timeouts": TIMEOUTS,
    },
}  # fmt: skip
"""What needs values of a form. The rest of the attributes that a user may set is filled in from the schema."""


def pool_of(kind: str, block: Block) -> Raw:
    """The pool of a resource, with every attribute in it that can be filled in."""
    return _completed(block, POOLS.get(kind, {}))


def _completed(block: Block, pool: Raw) -> Raw:
    found = {name: values for one in block.values() if one.settable and (values := _plain(one)) for name in [one.name]}
    found |= pool
    for name, one in block.items():
        if one.nested is not None and one.settable:
            inner = pool.get(name, {})
            whole = _completed(one.nested, inner[0] if one.is_list and inner else inner or {})
            found[name] = [whole] if one.is_list else Keyed(whole) if one.is_map else whole
    return {name: values for name, values in found.items() if values}


def _plain(one: Attribute) -> list[Any]:
    if one.type == "bool":
        return [True, False]
    return ["x"] if one.required and one.type == "string" else list(one.choices)


def drawn(draw: Draw, pool: Raw, failures: Failures, *, unknowns: bool) -> Raw | None:
    """A configuration; None where none was found."""
    holes = 8 if unknowns else 0
    given = {name: _value(draw, values, holes) for name, values in pool.items() if draw(st.booleans())}
    if given.get("name") in (None, UNKNOWN):
        given["name"] = pool["name"][0]
    return mended(draw, given, pool, failures)


def changed(draw: Draw, given: Raw, pool: Raw, failures: Failures, *, unknowns: bool) -> Raw | None:
    """The same with a few attributes that are other."""
    found, holes = copy.deepcopy(given), 6 if unknowns else 0
    for name in draw(st.lists(st.sampled_from(sorted(pool)), min_size=1, max_size=3, unique=True)):
        known = name != "name" and draw(st.integers(0, 3)) == 0
        found[name] = None if known else _value(draw, pool[name], 0 if name == "name" else holes)
    return mended(draw, found, pool, failures)


def mended(draw: Draw, given: Raw, pool: Raw, failures: Failures) -> Raw | None:
    """`given` with what the provider complains of set or taken out; None where that does not help."""
    for _ in range(REPAIRS):
        wrong = failures(given)
        if not wrong:
            return given
        name = next((str(one.path[0]) for one in wrong if one.path), None)
        if name is None or name not in pool:
            return None
        given[name] = _value(draw, pool[name], 0) if given.get(name) is None else None
    return None


def settled(draw: Draw, value: Any, pool: Any, *, may_be_null: bool = False) -> Any:
    """`value` with everything that was unknown known; what may be null is that sometimes."""
    if value is UNKNOWN and may_be_null and draw(st.integers(0, 3)) == 0:
        return None
    if value is UNKNOWN:
        plain = isinstance(pool, list) and not (pool and isinstance(pool[0], dict) and not _is_map(pool))
        return settled(draw, draw(st.sampled_from(pool)), None) if plain else _value(draw, pool, 0)
    if isinstance(value, dict) and isinstance(pool, Keyed):
        return {key: settled(draw, one, dict(pool)) for key, one in value.items()}
    if isinstance(value, dict):
        inner = pool[0] if isinstance(pool, list) and pool and not _is_map(pool) else pool
        known = inner if isinstance(inner, dict) else {}
        return {
            name: settled(draw, one, known.get(name, ["x"]), may_be_null=name in known) for name, one in value.items()
        }
    if isinstance(value, list):
        item = pool[0] if _is_items(pool) else ["x"]
        return [settled(draw, one, item) for one in value]
    return value


def shuffled(draw: Draw, given: Raw) -> Raw:
    """The same with the items of its lists in another order, which never matters."""
    return {
        name: draw(st.permutations(value)) if isinstance(value, list) and _known(value) else value
        for name, value in given.items()
    }


def _known(value: list[Any]) -> bool:
    return all(isinstance(item, dict) and item.get("name") not in (None, UNKNOWN) for item in value)


def _is_map(pool: list[Any]) -> bool:
    """Whether these are the values of a map, and not the one item of a list: an item has lists to choose from."""
    return all(
        isinstance(one, dict) and not any(isinstance(inner, list | dict) for inner in one.values()) for one in pool
    )


def _is_items(pool: Any) -> bool:
    return isinstance(pool, list) and len(pool) == 1 and isinstance(pool[0], dict) and not _is_map(pool)


def _value(draw: Draw, pool: Any, holes: int) -> Any:
    """A value; with `holes`, one in so many is unknown."""
    if holes and draw(st.integers(1, holes)) == 1:
        return UNKNOWN
    if isinstance(pool, Keyed):
        keys = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=2))
        return {key: _value(draw, dict(pool), holes) for key in keys}
    if isinstance(pool, dict):
        return _object(draw, pool, holes)
    if _is_items(pool):
        return _items(draw, pool[0], holes)
    chosen = draw(st.sampled_from(pool))
    return chosen if holes else settled(draw, chosen, None)


def _object(draw: Draw, pool: Raw, holes: int) -> Raw:
    return {name: _value(draw, values, holes) for name, values in pool.items() if draw(st.booleans())}


def _items(draw: Draw, pool: Raw, holes: int) -> list[Any]:
    """Up to three items, each with another key."""
    key = next(key for key in ("path", "name", "tag", "address", "cidr") if key in pool)
    keys = draw(st.lists(st.sampled_from(pool[key]), unique_by=str.lower, max_size=3))
    found: list[Any] = [{**_object(draw, pool, holes), key: one} for one in keys]
    return [UNKNOWN if holes and draw(st.integers(1, 2 * holes)) == 1 else item for item in found]
