"""A password that neither the state nor a plan keeps, from an ephemeral variable to the guest's cloud-init disk."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from tofu_stack import PLAN, Tofu, drawn

from jvp.libvirt.storage.streams import read_small
from jvp.resources.instance.storage import seed_name

MODULE = """
variable "password" {
  type      = string
  ephemeral = true
}

provider "jvp" {
  uri       = "qemu:///system"
  virt_type = "qemu"
}

resource "jvp_storage_pool" "pool" {
  name = "${local.P}-pool"
  path = local.FOLDER
}

resource "jvp_instance" "vm" {
  name        = "${local.P}-vm"
  memory      = local.memory
  power_state = "stopped"
  root_disk   = { pool = jvp_storage_pool.pool.id, size = "1MiB" }
  cloud_init = {
    users                   = [{ name = "ann", password_wo = var.password, password_wo_version = local.version }]
    run_commands_wo         = ["true", "login ${var.password}"]
    run_commands_wo_version = local.version
  }
}
"""
FIRST, SECOND = "Correct-Horse-1", "Battery-Staple-2"


def seed(tofu: Tofu, daemon: Any) -> bytes:
    found = tofu.state()
    pool = daemon.storagePoolLookupByUUIDString(found["jvp_storage_pool.pool"]["id"])
    pool.refresh(0)
    volume = pool.storageVolLookupByName(seed_name(found["jvp_instance.vm"]["id"]))
    return read_small(daemon, volume, volume.info()[1])


def kept(tofu: Tofu) -> bytes:
    """All that the host has written: states, the plan, its log."""
    plan = tofu.module / PLAN
    files = (*tofu.module.glob("*.tfstate*"), *tofu.folder.glob("audit"), tofu.host_log)
    texts = [path.read_bytes() for path in files]
    with zipfile.ZipFile(plan) as packed:
        texts += [packed.read(name) for name in packed.namelist()]
    return b"\n".join(texts)


@pytest.mark.parametrize("program", drawn("password"))
def test_a_password_reaches_the_guest_and_no_file_of_the_host(
    make_module: Callable[..., Tofu], daemon: Any, program: str
) -> None:
    tofu = make_module(program=program)
    tofu.env["JVP_AUDIT"] = str(tofu.folder / "audit")

    def write(version: int, memory: str = "32MiB") -> None:
        tofu.write(MODULE, version=version, memory=memory)

    write(1)
    tofu.given = {"password": FIRST}
    tofu.plan()
    assert b"password_wo_version" in kept(tofu)
    tofu.apply(PLAN)
    assert FIRST.encode() in seed(tofu, daemon)
    assert f"login {FIRST}".encode() in seed(tofu, daemon)
    assert FIRST.encode() not in kept(tofu)

    tofu.given = {"password": SECOND}
    tofu.settle()
    write(1, "33MiB")
    tofu.apply()
    assert FIRST.encode() in seed(tofu, daemon)

    write(2, "33MiB")
    tofu.plan()
    assert tofu.changes() == {"jvp_instance.vm": ["update"]}
    tofu.apply(PLAN)
    assert SECOND.encode() in seed(tofu, daemon)
    assert FIRST.encode() not in seed(tofu, daemon)
    tofu.settle()

    path = f"{tofu.names['FOLDER']}/{seed_name(tofu.state()['jvp_instance.vm']['id'])}"
    daemon.storageVolLookupByPath(path).delete(0)
    tofu.apply()
    assert SECOND.encode() in seed(tofu, daemon)
    tofu.settle()
    assert not any(secret.encode() in kept(tofu) for secret in (FIRST, SECOND))
    tofu.destroy()
    noted = [json.loads(line) for line in (tofu.folder / "audit").read_text().splitlines()]
    assert [(one["verb"], one["outcome"]) for one in noted if one["kind"] == "Instance"] == [
        (verb, outcome) for verb in ("create", "update", "update", "update", "delete") for outcome in ("begun", "done")
    ]
    assert {(one["door"], one["program"]) for one in noted} == {("terraform", "default")}
