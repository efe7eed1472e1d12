"""Waiting for an address that does not come, and going on from there."""

from __future__ import annotations

import re
import time

from tests.contract.conftest import Bench
from tests.lab.conftest import BOOT_S, BOOTS, Guest

from jvp.core.work import Work


def test_a_wait_that_runs_out_is_partial_and_the_next_update_waits_again(
    lab: Bench, kernel: dict[str, str], leftovers: None
) -> None:
    cidr = lab.cidr()
    dumb = {"name": lab.name("dumb"), "cidr": cidr, "mode": "isolated", "dhcp": {"enabled": False}}
    network = lab.create("Network", "dumb", dumb).stored
    guest = Guest(lab, "wait", {
        "name": lab.name("wait"), "directKernel": kernel, "memory": "128MiB", "waitFor": "ip", "waitTimeout": "1s",
        "nics": [{"name": "eth0", "network": network.id}],
    })  # fmt: skip
    try:
        begin = time.monotonic()
        result = guest.create()
        assert time.monotonic() - begin < 60
        assert len(result.reasons) == 1
        reason = result.reasons[0]
        assert reason.startswith("no address after 1s: no lease for 52:54:00:")
        assert network.state["name"] in reason
        assert "virsh console" in reason
        # The engine stores it, and the next run of the same program waits again.
        guest.raw["waitTimeout"] = "2s"
        begin = time.monotonic()
        again = guest.update()
        assert again.reasons
        assert time.monotonic() - begin >= 2
        # The engine's own timeout for the whole call may come first: then it is not said that more was waited.
        hurried = guest.update(Work(deadline=time.monotonic() + 5), waitTimeout="90s")
        assert re.match(
            r"no address after [0-5]s, when the call's own timeout came before the 90s: ", hurried.reasons[0]
        )
        work = Work()
        # Not by the clock: before it waits, a cancel is an error, and how long that takes is the machine's affair.
        work.status = lambda line: work.cancelled.set() if line.startswith("waiting for an address") else None
        begin = time.monotonic()
        stopped = guest.update(work, waitTimeout=f"{BOOT_S}s")
        assert time.monotonic() - begin < 60
        assert "stopped on request" in stopped.reasons[0]
        served = {"name": dumb["name"], "cidr": cidr, "mode": "isolated"}
        network = lab.update("Network", network, served).stored
        begin = time.monotonic()
        last = guest.update()
        BOOTS.append(f"wait: {time.monotonic() - begin:.1f} s after DHCP was switched on")
        assert last.reasons == ()
        assert last.stored.state["ipAddress"].startswith(cidr.rpartition(".")[0])
    finally:
        guest.close()
        lab.delete("Network", network)


def test_a_lease_from_before_a_restart_is_no_address(lab: Bench, kernel: dict[str, str], leftovers: None) -> None:
    """The guest has no driver for the new card, and the network's list still has the lease of the old one."""
    cidr = lab.cidr()
    network = lab.create("Network", "relet", {"name": lab.name("relet"), "cidr": cidr, "mode": "isolated"}).stored
    base = cidr.rpartition(".")[0]
    card = {"name": "eth0", "network": network.id, "model": "virtio"}
    guest = Guest(lab, "relet", {
        "name": lab.name("relet"), "directKernel": kernel, "memory": "128MiB", "waitFor": "ip",
        "waitTimeout": f"{BOOT_S}s", "nics": [card], "updatePolicy": "restart", "shutdownTimeout": "0s",
    })  # fmt: skip
    try:
        first = guest.create().stored.state["ipAddress"]
        dumb = guest.update(nics=[{**card, "model": "rtl8139"}], waitTimeout="1s")
        for result in (dumb, guest.update(), guest.update()):
            (reason,) = result.reasons
            assert reason.startswith("no address after 1s: no lease for 52:54:00:")
            assert f"since it was started (before it had {first}); " in reason
            assert not result.stored.state.get("ipAddress")
            assert not result.stored.state["addresses"]
        # One that is kept for the card counts alone.
        kept = f"{base}.77"
        again = guest.update(nics=[{**card, "address": kept}], waitTimeout=f"{BOOT_S}s")
        assert again.reasons == ()
        assert again.stored.state["ipAddress"] == kept
    finally:
        guest.close()
        lab.delete("Network", network)
