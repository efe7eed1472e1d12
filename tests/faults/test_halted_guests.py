"""Guests that stand still though nobody stopped them: an update brings them back, and the plan says how."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from faults.scenes import MIB
from hosts.daemon import SystemHost
from jvp.core.diff import consequences
from jvp.core.errors import Rejected
from jvp.core.identity import Key
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link.node import Node
from jvp.libvirt.storage import kvm_probe
from jvp.resources import registry
from jvp.resources.provider import Provider

Bag = dict[str, Any]
WRITES = bytes.fromhex("31c0 8ed8 be307c b443 30c0 b280 cd13 6683 06387c40 6681 3e387c00200000 72e7 f4ebfd")
WRITES = WRITES.ljust(0x30, b"\0") + bytes.fromhex("1000 4000 007c 0000 4000000000000000")
"""Writes 32 KiB after 32 KiB of its disk by the BIOS, as far as the fourth MiB: int 13h, AH=43h."""
JUMPS = bytes.fromhex("fa 0f0116207c 0f20c0 0c01 0f22c0 66ea000000fe0800").ljust(0x20, b"\0") + bytes.fromhex(
    "1700 287c 0000 0000 0000000000000000 ffff0000009acf00 ffff00000092cf00"
)
"""Goes on in 32 bits where no memory is, which KVM cannot follow: "internal error", "emulation failure"."""
SPINS = bytes.fromhex("ebfe")
ROOM = 24 * MIB


class Trial:
    """One instance of a node of the tests' own, from a disk that boots `code`."""

    def __init__(self, host: SystemHost, folder: Path, code: bytes) -> None:
        self.host, self.folder = host, folder
        self.calls = registry.calls(Provider(uri=host.uri, virt_type="qemu"))
        self.said: list[str] = []
        with contextlib.ExitStack() as self._made:
            image = folder / "halted.raw"
            image.write_bytes(code.ljust(510, b"\0") + b"\x55\xaa")
            os.truncate(image, 8 * MIB)
            self._made.callback(image.unlink)
            self.small = host.pools / "halted"
            self.small.mkdir()
            self._made.callback(self.small.rmdir)
            host.namespace.run("mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=0755", "none", self.small)
            self._made.callback(host.namespace.run, "umount", "--lazy", self.small)
            pool = self.make("StoragePool", {"path": str(self.small)}).id
            self.raw: Bag = {
                "template": self.make("Template", {"pool": pool, "source": {"path": str(image), "format": "raw"}}).id,
                "memory": "64MiB", "shutdownTimeout": "1s", "powerState": "stopped",
            }  # fmt: skip
            self.stored = self.make("Instance", self.raw)
            self._made = self._made.pop_all()

    def work(self) -> Work:
        self.said.clear()
        return Work(time.monotonic() + 60, warn=self.said.append)

    def make(self, token: str, raw: Bag) -> Stored:
        checked = self.calls.check(token, raw)
        assert not checked.failures, checked.failures
        made = self.calls.create(
            token, Key("", token, f"halted::{token}", "halted"), checked.inputs, self.work()
        ).stored
        self._made.callback(lambda: self.calls.delete(token, made, self.work()))
        return made

    def plan(self, **changes: Any) -> list[str]:
        self.raw |= changes
        found = self.calls.read("Instance", self.stored, self.work())
        assert found is not None
        self.stored = found
        inputs = self.calls.check("Instance", self.raw).inputs
        return consequences(self.calls.diff("Instance", self.stored, inputs, self.work()).changes)

    def update(self, **changes: Any) -> tuple[str, ...]:
        self.raw |= changes
        inputs = self.calls.check("Instance", self.raw).inputs
        result = self.calls.update("Instance", self.stored, inputs, self.work())
        self.stored = result.stored
        return result.reasons

    @contextlib.contextmanager
    def domain(self) -> Iterator[Any]:
        with contextlib.closing(libvirt.open(self.host.uri)) as connection:
            yield connection.lookupByUUIDString(self.stored.id)

    def halts(self, *reasons: int) -> bool:
        """Whether the guest stands still within 20 s."""
        with self.domain() as domain:
            end = time.monotonic() + 20
            while domain.state() not in [[libvirt.VIR_DOMAIN_PAUSED, one] for one in reasons]:
                if time.monotonic() > end:
                    return False
                time.sleep(0.05)
        return True

    def close(self) -> None:
        self._made.close()


@pytest.fixture
def trial(fault_node: SystemHost, hosts_folder: Path) -> Iterator[Callable[[bytes], Trial]]:
    with contextlib.ExitStack() as made:
        yield lambda code: made.enter_context(contextlib.closing(Trial(fault_node, hosts_folder, code)))


def test_a_guest_whose_disk_has_no_room_goes_on_when_there_is_some(trial: Callable[[bytes], Trial]) -> None:
    one = trial(WRITES)
    filler = one.small / "filler"
    one.host.namespace.run("sh", "-c", f"cat /dev/zero >{filler} 2>/dev/null || true")
    one.update(powerState="running")
    assert one.halts(libvirt.VIR_DOMAIN_PAUSED_IOERROR)
    with one.domain() as domain:
        number = domain.ID()
    assert one.plan() == [
        "powerState: an I/O error has paused the guest, which goes on, or is switched off and started again where it "
        "cannot"
    ]
    said = (
        "an I/O error has paused the guest (vda has no room left on the node); mend the storage, and an update of it "
        "goes on"
    )
    assert one.update() == (said,)
    assert one.stored.state["state"] == "paused"
    one.host.namespace.run("rm", filler)
    assert one.update() == ()
    with one.domain() as domain:
        assert (domain.state()[0], domain.ID()) == (libvirt.VIR_DOMAIN_RUNNING, number), "it was started anew"
    assert one.plan() == []


def test_a_guest_that_kvm_has_given_up_is_switched_off_and_started_again(trial: Callable[[bytes], Trial]) -> None:
    one = trial(JUMPS)
    if not kvm_probe.lists_kvm(Node(one.host.uri)):
        pytest.skip("no KVM on this machine")
    try:
        one.update(virtType="kvm", powerState="running")
    except Rejected as error:
        pytest.skip(f"no guest runs with KVM on this machine: {error}")
    if not one.halts(libvirt.VIR_DOMAIN_PAUSED_UNKNOWN):
        pytest.skip("the KVM of this machine follows a guest anywhere")
    assert one.plan() == [
        "powerState: QEMU has paused the guest, which goes on, or is switched off and started again where it cannot"
    ]
    assert one.plan(virtType="qemu")
    assert one.update() == ()
    assert "so it is switched off and started again" in one.said[0]
    assert (one.stored.state["state"], one.stored.state["acceleration"]) == ("running", "qemu")
    assert one.plan() == []


def test_a_change_to_kvm_is_tried_before_anything_is_written(
    trial: Callable[[bytes], Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trial(SPINS)
    if not kvm_probe.lists_kvm(Node(one.host.uri)):
        with pytest.raises(Rejected, match="the node offers no KVM"):
            one.update(virtType="kvm")
        return
    with one.domain() as domain:
        before = domain.XMLDesc(0)
    for outcome in ("refused", "stuck"):
        monkeypatch.setattr(kvm_probe, "_tried", lambda *_, outcome=outcome: outcome)
        with pytest.raises(Rejected, match="KVM does not work on this node") as caught:
            one.update(virtType="kvm", name="jvpt-other")
        assert caught.value.path == ("virtType",)
    monkeypatch.undo()
    with one.domain() as domain:
        assert domain.XMLDesc(0) == before
    one.raw |= {"name": domain.name(), "cpuMode": "host-passthrough"}
    one.update(virtType="kvm")
    with pytest.raises(Rejected, match="does not work with qemu") as caught:
        one.update(virtType="qemu")
    assert caught.value.path == ("cpuMode",)
