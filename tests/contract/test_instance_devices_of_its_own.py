"""A TPM, a watchdog, random numbers and tables of the firmware: what QEMU is given, and what is left of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench, domain_of
from tests.contract.kinds import running

from jvp.core.errors import Rejected
from jvp.core.facts import Effect
from jvp.core.stored import Stored
from jvp.libvirt.link.xml import parse
from jvp.resources.instance.devices_model import Tpm
from jvp.resources.instance.small_devices import refuse_tpm

Bag = dict[str, Any]
TPM_STATE = Path("/var/lib/libvirt/swtpm")


def command_line(stored: Stored) -> str:
    """How the guest's QEMU was called."""
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = one.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if "qemu" in text and stored.id in text and "-uuid" in text:
            return text
    raise AssertionError("it does not run")


def test_a_running_guest_has_them_and_its_end_leaves_nothing(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    bare = {name: value for name, value in running(bench, bench.name("own")).items() if name not in ("disks", "nics")}
    raw = {
        **bare, "memoryBacking": {"shared": True},
        "filesystems": [{"tag": "src", "source": str(bench.folder)}], "tpm": {},
        "watchdog": {"action": "pause"}, "rng": {"rate": 4096},
        "smbios": {"system": {"serial": "S-1"}, "oemStrings": ["app:one"]},
    }  # fmt: skip
    stored = made(raw)
    line = command_line(stored)
    for part in (
        "tpm-crb",
        "i6300esb",
        "vhost-user-fs",
        '"tag":"src"',
        '"max-bytes":4096',
        "type=1,serial=S-1",
        "type=11,value=app:one",
    ):
        assert part in line, line
    assert (TPM_STATE / stored.id).exists()
    assert stored.state["undeclared"] == []
    assert not bench.plan("Instance", bench.read("Instance", stored), raw)

    changes = bench.calls.diff("Instance", stored, bench.inputs("Instance", bare)).changes
    assert {(one.path[0], one.effect) for one in changes} == {
        (name, Effect.NEXT_BOOT) for name in ("memoryBacking", "filesystems", "tpm", "watchdog", "rng", "smbios")
    }
    stored = bench.update("Instance", stored, {**raw, "watchdog": {}}).stored
    assert stored.state["pending"]
    assert stored.state["pending"][0].startswith("watchdog")
    domain = domain_of(bench, stored)
    assert [parse(domain.XMLDesc(flags)).find("devices/watchdog").get("action") for flags in (0, 2)] == [
        "pause", "reset",
    ]  # fmt: skip
    bench.delete("Instance", stored)
    assert not (TPM_STATE / stored.id).exists()


def test_a_folder_that_the_node_has_not(bench: Bench, made: Callable[[Bag], Stored]) -> None:
    bare = {name: value for name, value in running(bench, bench.name("own")).items() if name not in ("disks", "nics")}
    folder = {"tag": "src", "source": "/srv/no/such"}
    with pytest.raises(Rejected, match='the node has no folder "/srv/no/such"') as refused:
        made({**bare, "memoryBacking": {"shared": True}, "filesystems": [folder]})
    assert refused.value.path == ("filesystems", 0, "source")


@pytest.mark.parametrize(
    ("backends", "models", "tpm", "path", "part"),
    [
        (["passthrough"], ["tpm-crb"], Tpm(), ("tpm", "type"), "the node emulates no TPM; install swtpm"),
        (["emulator"], ["tpm-crb"], Tpm(type="passthrough"), ("tpm", "type"), "the node passes no TPM through"),
        (["emulator"], ["tpm-tis"], Tpm(), ("tpm", "model"), 'no TPM of the model "tpm-crb"; it has tpm-tis'),
    ],
)
def test_what_a_node_has_no_tpm_for(
    backends: list[str], models: list[str], tpm: Tpm, path: tuple[str, ...], part: str
) -> None:
    enums = "".join(
        f"<enum name='{name}'>{''.join(f'<value>{one}</value>' for one in values)}</enum>"
        for name, values in (("backendModel", backends), ("model", models))
    )
    with pytest.raises(Rejected, match=part) as refused:
        refuse_tpm(parse(f"<domainCapabilities><devices><tpm>{enums}</tpm></devices></domainCapabilities>"), tpm)
    assert refused.value.path == path
