"""What every tier shares: markers by folder, a name prefix that is this run's own, and a look at what is left."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from tests import extent, starting, timing
from tests.postgres import postgres
from tests.starting import started, warm_folder
from tests.timing import pytest_terminal_summary

__all__ = ["postgres", "pytest_terminal_summary", "started", "warm_folder"]

HERE = Path(__file__).parent
TIERS = ("unit", "contract", "lab")


# What the tests change is not for this machine's audit; a test of the audit names a file of its own.
os.environ["JVP_AUDIT"] = "off"
# How long one example takes says more about the machine than about the code.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")


def pytest_report_header() -> list[str]:
    return [extent.told(), starting.told()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "started" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("both_ways") is not None
        metafunc.parametrize("started", starting.ways(metafunc.definition.nodeid, both=both), indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
        if folder in TIERS:
            item.add_marker(getattr(pytest.mark, folder))
    items.sort(key=lambda item: timing.turn(item.nodeid))


@pytest.fixture(scope="session")
def prefix() -> str:
    """Begins the name of everything that this run makes on the node; lower case, so that it suits everywhere."""
    return f"jvpt{os.getpid():x}{secrets.token_hex(2)}-"


@pytest.fixture(scope="session")
def daemon(prefix: str) -> Iterator[Any]:
    """A connection of the tests' own, as virsh would have one. At the end nothing of this run may be left."""
    libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed")
    from jvp.libvirt.link import events

    events.start_loop()
    try:
        connection = libvirt.open(os.environ.get("LIBVIRT_DEFAULT_URI") or "qemu:///system")
    except libvirt.libvirtError as error:
        pytest.skip(f"no libvirt daemon: {error}")
    yield connection
    left = sweep(connection, prefix)
    connection.close()
    assert not left, f"left on the node by this run: {sorted(left)}"


@pytest.fixture(scope="session")
def run_folder(prefix: str) -> Iterator[Path]:
    """A folder on the node for this run's pools, open to QEMU's user. (pytest's own folders are closed to it.)"""
    folder = Path("/var/tmp") / prefix.rstrip("-")
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def leftovers(daemon: Any, prefix: str, run_folder: Path) -> Iterator[None]:
    """After the test no domain, network, filter, pool, volume or file of this run is left that was not there before."""
    before = objects(daemon, prefix) | files(run_folder)
    yield
    left = (objects(daemon, prefix) | files(run_folder)) - before
    if left:
        sweep(daemon, prefix, only=left)
        for path in sorted((text.removeprefix("file ") for text in left if text.startswith("file ")), reverse=True):
            with contextlib.suppress(OSError):
                Path(path).rmdir() if Path(path).is_dir() else Path(path).unlink()
    assert not left, f"left on the node: {sorted(left)}"


@pytest.fixture(scope="session")
def cidrs(daemon: Any) -> Callable[[], str]:
    """Ranges that nothing on the node uses, each given once."""
    numbers = iter(secrets.SystemRandom().sample(range(0x4000, 0x8000), 500))

    def fresh() -> str:
        while True:
            number = next(numbers)
            found = ipaddress.ip_network(f"10.{number >> 8}.{number & 255}.0/24")
            if not any(found.overlaps(one) for one in _in_use(daemon)):
                return str(found)

    return fresh


def objects(connection: Any, prefix: str) -> set[str]:
    """Kind and name of everything with the prefix."""
    found = {f"domain {one.name()}" for one in connection.listAllDomains(0) if one.name().startswith(prefix)}
    found |= {f"network {one.name()}" for one in connection.listAllNetworks(0) if one.name().startswith(prefix)}
    found |= {f"nwfilter {one.name()}" for one in connection.listAllNWFilters(0) if one.name().startswith(prefix)}
    for pool in connection.listAllStoragePools(0):
        if pool.name().startswith(prefix):
            found.add(f"pool {pool.name()}")
            with contextlib.suppress(Exception):  # its folder is gone, or somebody removes it meanwhile
                pool.refresh(0)
                found |= {f"volume {pool.name()}/{name}" for name in pool.listVolumes()}
    return found


def files(folder: Path) -> set[str]:
    """Every file and folder below."""
    return {f"file {path}" for path in folder.rglob("*")}


def sweep(connection: Any, prefix: str, only: set[str] | None = None) -> set[str]:
    """Remove what has the prefix (of it only `only`); what that was."""
    found = objects(connection, prefix)
    if only is not None:
        found &= only
    for text in sorted(found):
        kind, _, name = text.partition(" ")
        with contextlib.suppress(Exception):
            _remove(connection, kind, name)
    return found


def _remove(connection: Any, kind: str, name: str) -> None:
    if kind == "domain":
        domain = connection.lookupByName(name)
        if domain.isActive():
            domain.destroy()
        if domain.isPersistent():
            domain.undefineFlags(1 | 2 | 4)
    elif kind == "network":
        network = connection.networkLookupByName(name)
        if network.isActive():
            network.destroy()
        network.undefine()
    elif kind == "nwfilter":
        connection.nwfilterLookupByName(name).undefine()
    elif kind == "pool":
        pool = connection.storagePoolLookupByName(name)
        for volume in pool.listAllVolumes(0) if pool.isActive() else ():
            volume.delete(0)
        if pool.isActive():
            pool.destroy()
        pool.undefine()


def _in_use(connection: Any) -> Iterator[ipaddress.IPv4Network]:
    from jvp.libvirt.link.xml import parse

    for network in connection.listAllNetworks(0):
        try:
            root = parse(network.XMLDesc(0))
        except Exception:  # removed by somebody meanwhile
            continue
        for element in root.iterfind("ip"):
            length = element.get("prefix") or element.get("netmask") or "24"
            found = ipaddress.ip_network(f"{element.get('address')}/{length}", strict=False)
            if isinstance(found, ipaddress.IPv4Network):
                yield found
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        _, target, _, _, _, _, _, mask, *_ = line.split()
        bits = int(mask, 16).bit_count()
        if bits:
            yield ipaddress.IPv4Network((int.from_bytes(bytes.fromhex(target), "little"), bits))
