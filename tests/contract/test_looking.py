"""What guests are seen to do: what they count, and what is on their screens."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bag, Bench
from tests.contract.counted import counting
from tests.contract.kinds import foreign_domain, running, stopped
from tests.contract.rest_support import server
from tests.contract.test_cli import jvp

from jvp.core.errors import NotFound, Rejected
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.domain import screen


def ask(bench: Bench, function: str, **args: Any) -> Bag:
    found, failures = bench.calls.invoke(function, args, Work())
    assert failures == ()
    assert found is not None
    return found


def metrics(bench: Bench, **args: Any) -> list[Bag]:
    found: list[Bag] = ask(bench, "getInstanceMetrics", **args)["instances"]
    return found


def test_what_one_guest_and_all_have_used_is_told_by_one_call(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    name, off = bench.name("counts"), bench.name("counts")
    on, idle = made(running(bench, name)), made({**stopped(bench, off), "disks": [], "nics": []})
    begun = time.time_ns() // 1_000_000
    with counting() as asked:
        first = ask(bench, "getInstanceMetrics", name=f"{bench.prefix}counts*")
    assert asked == {"virConnectGetAllDomainStats": 1}
    one, other = first["instances"]
    assert begun <= first["takenAtMilliseconds"] <= time.time_ns() // 1_000_000
    assert [(found["id"], found["name"], found["state"]) for found in (one, other)] == [
        (on.id, name, "running"), (idle.id, off, "stopped"),
    ]  # fmt: skip
    assert (one["cpus"], one["memoryBytes"]) == (1, 32 << 20)
    assert one["residentBytes"] > 0
    assert one["cpuMicroseconds"] > 0
    data = next(disk for disk in one["disks"] if disk["path"] == bench.volumes[0].state["path"])
    assert (data["capacityBytes"], data["writtenBytes"], data["flushMicroseconds"]) == (1 << 20, 0, 0)
    assert {"readBytes", "readRequests", "readMicroseconds", "writeRequests"} <= data.keys()
    (card,) = one["nics"]
    assert {"receivedBytes", "receivedPackets", "receiveDrops", "sentBytes", "sendErrors"} <= card.keys()
    assert not {"name", "mac"} & card.keys()
    assert other["nics"] == []
    assert "residentBytes" not in other
    assert other["disks"][0]["capacityBytes"] == 1 << 20
    for reference in (name, on.id):
        with counting() as asked:
            (again,) = metrics(bench, instance=reference)
        assert asked["virDomainListGetStats"] == 1
        assert asked.total() == 2, asked
        assert again["cpuMicroseconds"] >= one["cpuMicroseconds"]
    (told,) = metrics(bench, instance=name, details=True)
    assert "data" in [disk["name"] for disk in told["disks"]]
    assert [(nic["name"], nic["mac"], nic["device"]) for nic in told["nics"]] == [
        ("eth0", on.state["nics"][0]["mac"], card["device"])
    ]


def test_metrics_of_those_that_filters_take(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    assert bench.network is not None
    name, by = bench.name("metered"), {"name": f"{bench.prefix}metered*"}
    made({**stopped(bench, name), "disks": []})
    theirs = foreign_domain(bench, {"name": bench.name("metered")})

    def names(**filters: Any) -> list[str]:
        return [one["name"] for one in metrics(bench, **by, **filters)]

    try:
        assert names() == [name, theirs.name()]
        assert names(ours=True) == names(network=bench.network.id) == names(instance=name) == [name]
        assert names(ours=False) == names(ours=False, details=True) == [theirs.name()]
        assert names(state="running") == names(instance=name, state="running") == []
    finally:
        theirs.undefine()
    for argument in ("instance", "network", "template"):
        with pytest.raises(NotFound) as missing:
            metrics(bench, **{argument: "no-such"})
        assert missing.value.path == (argument,)


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def shown(bench: Bench) -> Iterator[Any]:
    """A running guest of somebody else that has a display device."""
    domain = bench.connection.createXML(
        f"""<domain type='qemu'><name>{bench.name("shown")}</name><memory unit='MiB'>32</memory>
        <os><type>hvm</type></os><devices><video><model type='vga'/></video></devices></domain>""", 0
    )  # fmt: skip
    yield domain
    domain.destroy()


def test_what_is_on_a_screen_through_every_door(
    bench: Bench, shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = shown.name()
    with counting() as asked:
        found = ask(bench, "getInstanceScreenshot", instance=name)
    picture = base64.b64decode(found["png"])
    assert found == {"id": shown.UUIDString(), "png": found["png"]}
    assert picture.startswith(PNG)
    assert int.from_bytes(picture[16:20], "big") >= 320  # its width
    assert asked["virDomainScreenshot"] == 1
    file = tmp_path / "screen.png"
    for _ in range(2):  # the second time over the first
        assert jvp("instance", "screenshot", name, str(file))[0] == f'instance "{name}": its screen is in {file}\n'
    assert file.read_bytes().startswith(PNG)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["screen.png"]
    _, said = jvp("instance", "screenshot", name, code=2)
    assert said == "jvp: say in which file; - is standard output, and -o json tells the picture in base64\n"
    with server(tmp_path) as rest:
        got = rest.ask("GET", f"instances/{name}/screenshot")
        assert (got.status_code, got.headers["content-type"]) == (200, "image/png")
        assert got.content.startswith(PNG)
        assert rest.ask("HEAD", f"instances/{shown.UUIDString()}/screenshot").headers["content-type"] == "image/png"
        assert rest.problem("GET", f"instances/{name}-none/screenshot")["status"] == 404
        machine = bench.machine()
        problem = rest.problem("GET", f"instances/{machine.id}/screenshot")
        assert (problem["status"], problem["detail"]) == (409, f'instance "{machine.id}" does not run')
    with monkeypatch.context() as patch:
        patch.setattr(screen, "_PNG", b"P6")  # as if the node gave another format
        with pytest.raises(Rejected, match=r"as image/png; QEMU 7\.1 or newer gives PNG"):
            ask(bench, "getInstanceScreenshot", instance=name)
    monkeypatch.setattr(screen, "MOST", 64)
    for _ in range(2):  # what is left of one is in nobody's way
        with pytest.raises(Rejected, match="its picture is larger than"):
            ask(bench, "getInstanceScreenshot", instance=name)


def test_an_instance_without_a_screen_says_so(bench: Bench, made: Callable[[Bag], Stored], tmp_path: Path) -> None:
    name = bench.name("blind")
    stored = made({**running(bench, name), "disks": [], "nics": []})
    found = ask(bench, "getInstanceScreenshot", instance=name)
    assert found == {"id": stored.id, "missing": "has no display device"}
    _, said = jvp("instance", "screenshot", name, str(tmp_path / "none.png"), code=4)
    assert said == f'jvp: instance "{name}" has no display device\n'
    assert list(tmp_path.iterdir()) == []
