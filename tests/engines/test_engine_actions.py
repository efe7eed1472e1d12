"""Resources that stand for actions, under the real CLIs: done when they are made, and anew with another trigger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine_stack import Stack
from tofu_stack import Tofu

PROGRAM = """
pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
vm = jvp.Instance(
    "vm", name=P + "vm", memory="32MiB", virt_type="qemu", root_disk={"pool": pool.id, "size": "1MiB"},
    max_cpus=cpus, shutdown_timeout="0s",
)
restart = jvp.RestartInstance("restart", instance=vm.id, triggers={"word": word})
"""
EFFECT = "shuts the guest down and starts it again, and what waits for its next power cycle takes effect"


def test_in_pulumi_an_instance_is_restarted_whenever_its_trigger_changes(
    stack: Stack, domain: Callable[[str], Any]
) -> None:
    stack.write(PROGRAM, cpus=1, word="a")
    assert stack.up().ops == {"pool": ["create"], "vm": ["create"], "restart": ["create"]}
    first = domain("vm").ID()
    stack.settle()
    stack.write(PROGRAM, cpus=2, word="b")
    told = stack.preview()
    assert told.ops == {"vm": ["update"], "restart": ["update"]}
    assert told.diff("restart") == {"triggers": "update"}
    assert EFFECT in told.text
    assert domain("vm").ID() == first
    assert stack.up().ops == {"vm": ["update"], "restart": ["update"]}
    second = domain("vm").ID()
    assert second > first
    assert domain("vm").maxVcpus() == 2
    stack.refresh()
    stack.settle()
    stack.write(PROGRAM, cpus=2, word="a")  # a word that was there before is another request all the same
    assert stack.up().ops == {"restart": ["update"]}
    assert domain("vm").ID() > second
    stack.destroy()


MODULE = """
resource "jvp_storage_pool" "pool" {
  name = "${local.P}-pool"
  path = local.FOLDER
}

resource "jvp_refresh_storage_pool" "seen" {
  storage_pool = jvp_storage_pool.pool.id
  triggers     = { word = local.WORD }
}
"""


def test_in_hcl_a_pool_is_refreshed_whenever_its_trigger_changes(make_module: Callable[..., Tofu], daemon: Any) -> None:
    tofu = make_module()
    tofu.write(MODULE, WORD="a")
    tofu.apply()
    tofu.settle()
    pool = daemon.storagePoolLookupByName(f"{tofu.names['P']}-pool")
    file = Path(tofu.names["FOLDER"]) / "by-hand"
    file.write_bytes(b"x")
    tofu.write(MODULE, WORD="b")
    plan = tofu.plan()
    assert "1 to change" in plan.text
    assert "changes nothing in the pool but what libvirt knows of it" in " ".join(plan.text.replace("│", " ").split())
    tofu.apply()
    assert "by-hand" in pool.listVolumes()
    tofu.settle()
    tofu.assert_no_complaints()
    file.unlink()
    tofu.destroy()
