"""What a node can build, from what libvirt says of it."""

from __future__ import annotations

from typing import Any

import pytest

from jvp.core.check import check
from jvp.core.errors import Invalid, Rejected, dotted
from jvp.libvirt.link.xml import parse
from jvp.resources.instance.machine import (
    machine_of,
    odd_cpus,
    patch_machine,
    pin_machine,
    refuse_too_large,
    refuse_unsupported,
    refuse_without_disk,
)
from jvp.resources.instance.model import Instance
from jvp.resources.instance.patching import skeleton

OFFER = """<domainCapabilities><domain>qemu</domain><os><enum name='firmware'>{firmware}</enum></os><cpu>
<mode name='host-passthrough' supported='no'/><mode name='maximum' supported='yes'/>
<mode name='host-model' supported='yes'><model>EPYC</model></mode>
<mode name='custom' supported='yes'><model usable='yes'>qemu64</model><model usable='no'>EPYC</model>
<model usable='unknown'>Nehalem</model></mode></cpu><machine>pc-q35-7.2</machine><devices><disk><enum name='bus'>
<value>virtio</value><value>sata</value></enum></disk></devices></domainCapabilities>"""


class Api:
    """A node that knows two machine types, with or without UEFI."""

    def __init__(self, firmware: str = "<value>efi</value>") -> None:
        self.offer = OFFER.format(firmware=firmware)

    def arch(self) -> str:
        return "x86_64"

    def machines(self, _arch: str) -> dict[str, str]:
        return {
            "pc": "pc-i440fx-7.2", "pc-i440fx-7.2": "pc-i440fx-7.2", "q35": "pc-q35-7.2", "pc-q35-7.2": "pc-q35-7.2",
            "microvm": "microvm",
        }  # fmt: skip

    def most_cpus(self, _arch: str, _machine: str) -> int:
        return 288

    def memory_bytes(self) -> int:
        return 2**30

    def capabilities(self, _arch: str, machine: str, _kind: str) -> Any:
        return parse(self.offer) if machine in self.machines("") else None


def refused(raw: dict[str, Any], api: Api) -> Rejected | None:
    spec = check(Instance, {"rootDisk": {"pool": "p", "size": "1GiB"}, **raw}).spec
    assert spec is not None
    root = skeleton("u", "x86_64", "qemu")
    patch_machine(root, spec, "/nvram")
    try:
        refuse_unsupported(api, root, spec, {"firmware", "machine", "cpuMode", "rootDisk"})  # type: ignore[arg-type]
    except Rejected as error:
        return error
    return None


@pytest.mark.parametrize(
    ("raw", "path", "part"),
    [
        ({"machine": "pc-q35-9.9"}, "machine", 'has no machine type "pc-q35-9.9"; it has q35, pc-q35-7.2'),
        ({"machine": "nosuch"}, "machine", 'has no machine type "nosuch"'),
        ({"machine": "pc"}, "machine", '"pc" has no PCI Express'),
        ({"machine": "microvm"}, "machine", "it has to be q35, pc-q35-7.2"),
        ({"cpuMode": "host-passthrough"}, "cpuMode", '"host-passthrough" does not work with qemu'),
        ({"cpuMode": "EPYC"}, "cpuMode", "it can give Nehalem, qemu64"),
        (
            {"rootDisk": {"pool": "p", "size": "1GiB", "bus": "scsi"}},
            "rootDisk.bus",
            'a machine of the type pc-q35-7.2 has no bus "scsi"; it has sata, virtio',
        ),
        ({"cpuMode": "Z80"}, "cpuMode", 'there is no CPU model "Z80"; usable here are host-model'),
    ],
)
def test_refused(raw: dict[str, Any], path: str, part: str) -> None:
    error = refused(raw, Api())
    assert error is not None
    assert dotted(error.path) == path
    assert part in error.message


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"machine": "q35", "cpuMode": "maximum", "firmware": "uefi"},
        {"cpuMode": "Nehalem"},
        {"cpuMode": "host-model"},
        {"rootDisk": {"pool": "p", "size": "1GiB", "bus": "sata"}},
    ],
)
def test_offered(raw: dict[str, Any]) -> None:
    assert refused(raw, Api()) is None


@pytest.mark.parametrize(
    ("raw", "path", "part"),
    [
        ({"cpus": 256}, "cpus", "is 256, and the node gives a machine of the type q35 at most 255"),
        ({"maxCpus": 288}, "maxCpus", "is 288, and the node gives"),
        ({"memory": "1025MiB"}, "memory", 'is "1025MiB", and the node has 1024MiB'),
    ],
)
def test_what_the_node_is_too_small_for(raw: dict[str, Any], path: str, part: str) -> None:
    spec = check(Instance, {"template": "t", **raw}).spec
    assert spec is not None
    with pytest.raises(Rejected) as caught:
        refuse_too_large(Api(), skeleton("u", "x86_64", "qemu"), spec, {"memory"})  # type: ignore[arg-type]
    assert dotted(caught.value.path) == path
    assert part in caught.value.message


@pytest.mark.parametrize(
    ("topology", "raw", "path"),
    [
        ("sockets='1' cores='3' threads='1'", {"maxCpus": 4}, "maxCpus"),
        ("sockets='1' cores='3' threads='1'", {"cpus": 4}, "cpus"),
        ("sockets='1' cores='3' threads='1'", {"cpus": 2}, "maxCpus"),
        ("sockets='1' dies='1' cores='3' threads='1'", {"cpus": 2, "maxCpus": 3}, None),
        ("sockets='2' cores='2' threads='2'", {"maxCpus": 8}, None),
    ],
)
def test_cpus_that_somebody_has_laid_out(topology: str, raw: dict[str, Any], path: str | None) -> None:
    spec = check(Instance, {"template": "t", **raw}).spec
    assert spec is not None
    odd = odd_cpus(parse(f"<domain><cpu><topology {topology}/></cpu></domain>"), spec)
    assert (dotted(odd.path) if odd else None) == path


def test_a_new_machine_is_of_the_version_that_its_name_means_now() -> None:
    root = skeleton("u", "x86_64", "qemu")
    pin_machine(Api(), root)  # type: ignore[arg-type]
    assert machine_of(root) == "pc-q35-7.2"


def test_a_node_without_uefi_says_what_to_install() -> None:
    error = refused({"firmware": "uefi"}, Api(firmware=""))
    assert error is not None
    assert dotted(error.path) == "firmware"
    assert "the node has no UEFI firmware" in error.message
    assert "ovmf" in error.message
    assert refused({"firmware": "bios"}, Api(firmware="")) is None


def test_uefi_without_a_pool_has_no_place_for_its_variables() -> None:
    spec = check(Instance, {"directKernel": {"kernel": "/k"}, "firmware": "uefi"}).spec
    assert spec is not None
    with pytest.raises(Invalid, match="keeps its variables"):
        refuse_without_disk(spec, skeleton("u", "x86_64", "qemu"), None)
    own = parse("<domain><os><loader type='pflash'>/x</loader></os></domain>")
    refuse_without_disk(spec, own, None)
