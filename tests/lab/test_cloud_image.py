"""A whole Debian system from a template: what JVP tells cloud-init is what the guest then has.

The tests go on from each other's guest. `make lab` builds the image and runs them.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.lab.cloud.build import found as built
from tests.lab.conftest import Guest

from jvp.core.stored import Stored

pytestmark = pytest.mark.images
BOOT_S = 300
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKIx6ZKzmnQDxnJIVqyZTzL1jcXYzqzRNNx0WxlW1c0M somebody"


@pytest.fixture(scope="module")
def template(lab: Bench) -> Iterator[Stored]:
    image = built()
    if image is None:
        pytest.skip("the cloud image is not built: `make lab` builds it")
    assert lab.pool is not None
    made = lab.create("Template", "cloud", {
        "name": lab.name("cloud"), "pool": lab.pool.id, "source": {"path": str(image.disk)}}).stored  # fmt: skip
    yield made
    lab.delete("Template", made)


@pytest.fixture(scope="module")
def guest(lab: Bench, template: Stored) -> Iterator[Guest]:
    image = built()
    assert image is not None
    assert lab.network is not None
    made = Guest(lab, "cloud", {
        "name": lab.name("cloud"), "template": template.id, "directKernel": image.kernel, "memory": "512MiB", "cpus": 2,
        "rootDisk": {"size": "3GiB"}, "shutdownTimeout": "60s", "cpuMode": "Nehalem",
        "nics": [{"name": "eth0", "network": lab.network.id}], "waitFor": "agent", "waitTimeout": f"{BOOT_S}s",
        "cloudInit": {
            "hostname": "clouded",
            "users": [{"name": "ada", "sshKeys": [KEY], "sudo": True}],
            "files": [{"path": "/etc/jvp-told", "content": "by jvp\n", "permissions": "0640"}],
            "runCommands": ["echo ran >/root/ran"],
        },
    })  # fmt: skip
    try:
        assert made.create().reasons == ()
        _until_done(made)
        yield made
    finally:
        made.close()


def run(guest: Guest, script: str) -> str:
    """What a script in the guest prints, run by its agent. Fails where it does."""
    pid = _agent(guest, "guest-exec", {"path": "/bin/sh", "arg": ["-ec", script], "capture-output": True})["pid"]
    end = time.monotonic() + 60
    while not (done := _agent(guest, "guest-exec-status", {"pid": pid}))["exited"]:
        assert time.monotonic() < end, f"no end of {script}"
        time.sleep(0.2)
    text = base64.b64decode(done.get("out-data", "")).decode()
    assert done["exitcode"] == 0, f"{script}: {text} {base64.b64decode(done.get('err-data', '')).decode()}"
    return text


def _agent(guest: Guest, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    import libvirt_qemu

    said = libvirt_qemu.qemuAgentCommand(guest.domain, json.dumps({"execute": command, "arguments": arguments}), 20, 0)
    return dict(json.loads(said)["return"])


def _until_done(guest: Guest) -> None:
    """cloud-init ends some time after the agent answers."""
    end = time.monotonic() + BOOT_S
    while "yes" not in run(guest, "test -e /var/lib/cloud/instance/boot-finished && echo yes || echo no"):
        assert time.monotonic() < end, run(guest, "tail -20 /var/log/cloud-init.log")
        time.sleep(1)


def test_cloud_init_did_what_was_declared(guest: Guest) -> None:
    assert run(guest, "cat /etc/jvp-told; stat -c %a /etc/jvp-told") == "by jvp\n640\n"
    assert run(guest, "cat /root/ran") == "ran\n"
    assert run(guest, "hostname") == "clouded\n"
    assert KEY in run(guest, "cat ~ada/.ssh/authorized_keys")
    assert "NOPASSWD" in run(guest, "grep ada /etc/sudoers.d/*")
    status = json.loads(run(guest, "cat /run/cloud-init/status.json"))["v1"]
    errors = [error for stage in status.values() if isinstance(stage, dict) for error in stage.get("errors", [])]
    assert errors == []
    assert "NoCloud" in status["datasource"]


def test_the_root_grew_to_the_declared_size(guest: Guest) -> None:
    assert int(run(guest, "blockdev --getsize64 /dev/vda")) == 3 * 2**30
    assert int(run(guest, "df --output=size -B1 / | tail -1")) > 2.7 * 2**30


def test_the_agent_tells_the_address_that_the_network_leased(guest: Guest) -> None:
    assert {one["address"] for one in guest.state["addresses"]} >= set(run(guest, "hostname -I").split()[:1])
    guest.settled()


def test_it_shuts_down_when_it_is_told_to_stop(guest: Guest) -> None:
    guest.update(powerState="stopped", waitFor=None, waitTimeout=None)
    assert not guest.domain.isActive()
