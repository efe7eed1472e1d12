"""Plans of what is new say beforehand why their apply would fail, in the words of the apply."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.contract.conftest import Bag, Bench
from tests.contract.kinds import IMAGE, KINDS, Kind, foreign_domain, image, stopped

from jvp.core.calls import Calls
from jvp.core.errors import JvpError
from jvp.core.identity import Key
from jvp.core.outlook import Asked
from jvp.core.stored import Stored
from jvp.core.types import network_of
from jvp.core.values import UNKNOWN
from jvp.core.work import Work
from jvp.resources.provider import Provider
from jvp.resources.registry import calls as registered


@pytest.fixture
def fresh(bench: Bench) -> Calls:
    """The calls of another process, which knows of no plan yet."""
    return registered(Provider(virt_type="qemu"))


def foretold(bench: Bench, calls: Calls, token: str, raw: Bag, *, adopt: bool = False) -> list[str]:
    """The warnings of the plan of a new object."""
    said: list[str] = []
    key = bench.key(token, str(raw.get("name")))
    calls.preview_create(token, bench.inputs(token, raw), Work(warn=said.append), Asked(lambda: key, adopt))
    return [without_names(line) for line in said]


def refused(bench: Bench, token: str, raw: Bag) -> str:
    with pytest.raises(JvpError) as caught:
        bench.create(token, str(raw.get("name")), raw)
    return without_names(str(caught.value))


def without_names(line: str) -> str:
    """Other runs on this node make and remove pools and networks meanwhile."""
    return line.partition("there are: ")[0]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)
def test_what_can_be_made_is_nothing_to_warn_of(bench: Bench, fresh: Calls, kind: Kind) -> None:
    raw = kind.minimal(bench, bench.name("fine"))
    assert foretold(bench, fresh, kind.token, raw) == []


@pytest.mark.parametrize("kind", [one for one in KINDS if one.foreign or one.missing], ids=lambda kind: kind.id)
def test_a_name_that_is_taken_and_a_reference_to_nothing(bench: Bench, fresh: Calls, kind: Kind) -> None:
    raw = kind.minimal(bench, bench.name("odd"))
    if kind.missing is not None:
        wrong = kind.missing(raw)[0]
        assert foretold(bench, fresh, kind.token, wrong) == [refused(bench, kind.token, wrong)]
    if kind.foreign is not None:
        there = kind.foreign(bench, raw)
        try:
            assert foretold(bench, fresh, kind.token, raw) == [refused(bench, kind.token, raw)]
            assert foretold(bench, fresh, kind.token, raw, adopt=True) == []
        finally:
            there.delete(0) if kind.token == "Volume" else there.undefine()


def test_what_another_resource_of_the_plan_makes_is_not_missed(bench: Bench, fresh: Calls) -> None:
    pool, network = bench.name("pool"), bench.name("net")
    cidr = bench.cidr()
    plans: list[tuple[str, Bag]] = [
        ("StoragePool", {"name": pool, "path": f"{bench.folder}/{pool}"}),
        ("Network", {"name": network, "cidr": cidr}),
        ("Template", {"name": "t", "pool": pool, "source": {"path": image(bench, "one", IMAGE)}}),
        ("Volume", {"name": "v", "pool": pool, "size": "1MiB"}),
        ("Volume", {"name": "w", "pool": pool, "template": f"{pool}/t"}),
        ("Volume", {"name": "u", "pool": UNKNOWN, "template": UNKNOWN, "size": UNKNOWN}),
        (
            "Instance",
            {
                "name": bench.name("vm"), "template": f"{pool}/t", "memory": "32MiB", "rootDisk": {"pool": pool},
                "nics": [{"name": "a", "network": network, "address": str(network_of(cidr)[9])}],
                "disks": [{"name": "a", "volume": f"{pool}/v"}, {"name": "b", "volume": UNKNOWN}],
            },
        ),
    ]  # fmt: skip
    assert {line for token, raw in plans for line in foretold(bench, fresh, token, raw)} == set()
    two = {"name": bench.name("two"), "cidr": cidr}
    assert foretold(bench, fresh, "Network", two) == [f'cidr: {cidr} overlaps {cidr} of the network "{network}"']
    assert foretold(bench, fresh, "Network", plans[1][1]) == [
        f'cidr: {cidr} overlaps {cidr} of the network "{two["name"]}"'
    ]


def no_image(bench: Bench, name: str) -> str:
    return image(bench, name, b"no image\n")


CASES: list[tuple[str, Callable[[Bench], Bag]]] = [
    ("Template", lambda bench: {"source": {"path": "/nowhere/image.qcow2"}}),
    ("Template", lambda bench: {"source": {"path": str(bench.folder)}}),
    ("Template", lambda bench: {"source": {"path": no_image(bench, "odd")}, "pool": "no-such"}),
    ("Volume", lambda bench: {"size": None, "imagePath": "/nowhere/image.qcow2"}),
    ("Volume", lambda bench: {"size": None, "template": "no-such"}),
    ("Network", lambda bench: {"cidr": bench.network.state["cidr"] if bench.network else ""}),
    ("Network", lambda bench: {"cidr": None, "mode": "bridge", "bridge": "jvpnowhere"}),
    ("StoragePool", lambda bench: {"path": f"{bench.folder}/base"}),
    ("Instance", lambda bench: {"memory": "64TiB"}),
    ("Instance", lambda bench: {"machine": "pc-q35-0.1"}),
    ("Instance", lambda bench: {"template": "no-such", "rootDisk": None}),
    ("Instance", lambda bench: {"iso": "no-such"}),
    ("Instance", lambda bench: {"rootDisk": {"pool": "no-such", "size": "1MiB"}}),
    ("Instance", lambda bench: {"nics": [{"name": "a"}, {"name": "b", "network": "no-such"}]}),
    ("Instance", lambda bench: {"nics": [{"name": "a", "network": bench.network.id, "address": "192.0.2.1"}]}),
    ("Instance", lambda bench: {"disks": [{"name": "a", "volume": f"{bench.pool.id}/no-such"}]}),
]
BASES = {kind.token: kind for kind in KINDS if kind.id != "running instance"}


@pytest.mark.parametrize(("token", "more"), CASES, ids=lambda one: one if isinstance(one, str) else "")
def test_in_the_sentence_of_the_apply(bench: Bench, fresh: Calls, token: str, more: Callable[[Bench], Bag]) -> None:
    raw = {**BASES[token].minimal(bench, bench.name("case")), **more(bench)}
    said = foretold(bench, fresh, token, raw)
    assert refused(bench, token, raw) in said
    assert len(said) <= 2


def test_a_volume_and_a_mac_of_somebody_else(bench: Bench, fresh: Calls, made: Callable[[Bag], Stored]) -> None:
    first = made(stopped(bench, bench.name("first")))
    mac = first.state["nics"][0]["mac"]
    raw = {**stopped(bench, bench.name("second")), "nics": [{"name": "a", "network": bench.network.id, "mac": mac}]}
    # Another instance of ours may let go of its volume until then: the apply waits for that.
    assert foretold(bench, fresh, "Instance", raw) == [refused(bench, "Instance", {**raw, "disks": []})]
    domain = bench.connection.lookupByUUIDString(first.id)
    theirs = foreign_domain(bench, {"name": bench.name("theirs")})
    disk = bench.volumes[1].state["path"]
    theirs.attachDeviceFlags(f"<disk type='file'><source file='{disk}'/><target dev='vda'/></disk>", 2)
    try:
        taken = {**raw, "nics": [], "disks": [{"name": "a", "volume": bench.volumes[1].id}]}
        assert foretold(bench, fresh, "Instance", taken) == [refused(bench, "Instance", taken)]
    finally:
        theirs.undefine()
    assert domain.name() == first.state["name"]


def test_what_goes_in_the_same_run_is_in_nobodys_way(bench: Bench, fresh: Calls) -> None:
    raw = {"name": bench.name("old"), "cidr": bench.cidr()}
    stored = bench.create("Network", "old", raw).stored
    try:
        other = {**raw, "name": bench.name("new")}
        assert len(foretold(bench, fresh, "Network", other)) == 1
        # It is replaced, and its own create is planned after that, as Terraform does it.
        fresh.read("Network", stored, Work())
        assert fresh.diff("Network", stored, bench.inputs("Network", other), Work()).replaces
        assert foretold(bench, fresh, "Network", other) == []
    finally:
        bench.delete("Network", stored)


def test_an_instance_that_is_replaced_is_not_in_its_own_way(bench: Bench, fresh: Calls) -> None:
    assert bench.network is not None
    raw = {
        **stopped(bench, bench.name("again")), "disks": [],
        "nics": [{"name": "a", "network": bench.network.id, "mac": "52:54:00:0a:0b:0c"}],
    }  # fmt: skip
    inputs, said = bench.inputs("Instance", raw), list[str]()
    key = Key("stack", "instance", raw["name"], raw["name"])
    other = Key("stack", "instance", f"{raw['name']}-2", "two")
    next_ = bench.inputs("Instance", {**raw, "name": bench.name("next")})
    stored = bench.calls.create("Instance", key, inputs, Work()).stored
    try:
        fresh.preview_create("Instance", next_, Work(warn=said.append), Asked(lambda: key))
        assert said == []
        # Nor is one of the same program that is planned to stay forgotten.
        fresh.diff("Instance", stored, inputs, Work())
        fresh.preview_create("Instance", next_, Work(warn=said.append), Asked(lambda: other))
        assert len(said) == 1
        assert "is the MAC of a card of" in said[0]
    finally:
        bench.delete("Instance", stored)


def test_the_bridge_of_a_network_that_is_replaced_is_in_nobodys_way(bench: Bench, fresh: Calls) -> None:
    raw = {"name": bench.name("old"), "cidr": bench.cidr(), "bridge": f"jr{bench.prefix[-8:]}".rstrip("-")}
    stored = bench.create("Network", "old", raw).stored
    said = f'bridge: the node has an interface "{raw["bridge"]}" already'
    other = {**raw, "name": bench.name("new")}
    try:
        assert said in foretold(bench, fresh, "Network", other)
        fresh.read("Network", stored, Work())
        assert fresh.diff("Network", stored, bench.inputs("Network", other), Work()).replaces
        assert foretold(bench, fresh, "Network", other) == []
        loop = foretold(bench, fresh, "Network", {**other, "bridge": "lo"})
        assert loop == ['bridge: the node has an interface "lo" already']
    finally:
        bench.delete("Network", stored)


def test_a_network_of_the_same_program_may_give_way_unless_it_is_planned_to_stay(bench: Bench, fresh: Calls) -> None:
    raw = {"name": bench.name("ours"), "cidr": bench.cidr()}
    key = Key("stack", "network", raw["name"], raw["name"])
    inputs = bench.inputs("Network", raw)
    stored = bench.calls.create("Network", key, inputs, Work()).stored
    said: list[str] = []
    other = bench.inputs("Network", {**raw, "name": bench.name("next")})
    asked = Asked(lambda: Key("stack", "network", other["name"], other["name"]))
    try:
        fresh.preview_create("Network", other, Work(warn=said.append), asked)
        assert said == []
        fresh.diff("Network", stored, inputs, Work())
        fresh.preview_create("Network", other, Work(warn=said.append), asked)
        assert said == [f'cidr: {raw["cidr"]} overlaps {raw["cidr"]} of the network "{raw["name"]}"']
    finally:
        bench.delete("Network", stored)


def test_a_stopped_pool_is_told_unless_the_program_starts_it(bench: Bench, fresh: Calls) -> None:
    raw = {"name": bench.name("off"), "path": f"{bench.folder}/off", "active": False}
    stored = bench.create("StoragePool", "off", raw).stored
    volume = {"name": "x", "pool": raw["name"], "size": "1MiB"}
    try:
        assert foretold(bench, fresh, "Volume", volume) == [
            f'pool: storage pool "{raw["name"]}" is not active; start it'
        ]
        fresh.preview_update("StoragePool", stored, bench.inputs("StoragePool", {**raw, "active": True}), Work())
        assert foretold(bench, fresh, "Volume", volume) == []
    finally:
        bench.delete("StoragePool", stored)


@pytest.fixture
def nobody() -> Calls:
    return registered(Provider(uri="qemu+unix:///system?socket=/nowhere/libvirt-sock", virt_type="qemu"))


def test_a_node_that_is_not_reached_is_told_of_once(bench: Bench, nobody: Calls) -> None:
    plans = [(kind.token, kind.minimal(bench, bench.name("far"))) for kind in KINDS]
    (line,) = [line for token, raw in plans for line in foretold(bench, nobody, token, raw)]
    assert "nothing listens on /nowhere/libvirt-sock; start libvirtd there, or set the provider's uri" in line


def test_a_node_that_is_not_known_yet_is_nothing_to_tell_of(bench: Bench) -> None:
    calls = registered(Provider.model_construct(uri=UNKNOWN, virt_type="qemu"))
    assert foretold(bench, calls, "Volume", {"name": "x", "pool": "no-such", "size": "1MiB"}) == []


def test_a_template_whose_file_is_gone_is_told_when_it_changes(bench: Bench, fresh: Calls) -> None:
    raw = {"name": bench.name("t"), "pool": bench.pool.id, "source": {"path": image(bench, "first", IMAGE)}}
    stored = bench.create("Template", "t", raw).stored
    said: list[str] = []
    try:
        changed = bench.inputs("Template", {**raw, "source": {"path": "/nowhere/other.qcow2"}})
        fresh.preview_update("Template", stored, changed, Work(warn=said.append))
        assert len(said) == 1
        assert "source.path: " in said[0]
        assert "/nowhere/other.qcow2" in said[0]
    finally:
        bench.delete("Template", stored)


def test_what_an_update_refers_to_newly_is_told_too(bench: Bench, fresh: Calls, made: Callable[[Bag], Stored]) -> None:
    raw = stopped(bench, bench.name("vm"))
    stored = made(raw)
    changes: list[Bag] = [
        {"nics": [*raw["nics"], {"name": "b", "network": "no-such"}]},
        {"disks": [{"name": "b", "volume": f"{bench.pool.id}/no-such"}]},
        {"iso": "no-such"},
        {"memory": "64TiB", "maxMemory": "64TiB"},
    ]
    for more in changes:
        said: list[str] = []
        fresh.preview_update("Instance", stored, bench.inputs("Instance", {**raw, **more}), Work(warn=said.append))
        with pytest.raises(JvpError) as caught:
            bench.update("Instance", stored, {**raw, **more})
        assert without_names(str(caught.value)) in map(without_names, said)
    said = []
    fresh.preview_update(
        "Instance", stored, bench.inputs("Instance", {**raw, "autostart": True}), Work(warn=said.append)
    )
    assert said == []
