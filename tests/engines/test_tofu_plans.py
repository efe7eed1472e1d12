"""What a plan of new resources says of their apply, under the real program."""

from __future__ import annotations

from collections.abc import Callable

from tofu_stack import CHANGES, Tofu

GOOD = """
resource "jvp_storage_pool" "pool" {
  name = "${local.P}-pool"
  path = local.FOLDER
}

resource "jvp_volume" "good" {
  name = "${local.P}-good"
  pool = jvp_storage_pool.pool.name
  size = "1MiB"
}

resource "jvp_network" "net" {
  name = "${local.P}-net"
  cidr = local.CIDR
}
"""
BAD = """
resource "jvp_template" "bad" {
  name   = "${local.P}-bad"
  pool   = "${local.P}-none"
  source = { path = "/nowhere/image.qcow2" }
}

resource "jvp_instance" "bad" {
  name       = "${local.P}-vm"
  memory     = "64TiB"
  max_memory = "64TiB"
  virt_type  = "qemu"
  root_disk  = { pool = jvp_storage_pool.pool.name, size = "1MiB" }
}
"""


def test_a_plan_warns_of_what_the_apply_refuses(make_module: Callable[..., Tofu]) -> None:
    tofu = make_module()
    tofu.write(GOOD)
    plan = tofu.plan()
    assert plan.code == CHANGES
    assert "Before you apply" not in plan.text
    tofu.apply()
    again = tofu.plan("-replace=jvp_network.net")
    assert "1 to add, 0 to change, 1 to destroy" in again.text
    assert "Before you apply" not in again.text

    tofu.write(GOOD + BAD)
    plan = tofu.plan()
    assert plan.code == CHANGES
    told = " ".join(plan.text.replace("│", " ").split())
    failed = tofu.apply(ok=False).errors
    for sentence in (f'pool: there is no storage pool "{tofu.names["P"]}-none" on the node', 'memory: is "64TiB", and'):
        assert sentence in told
        assert sentence in failed
    assert "source.path: " in told
    assert "/nowhere/image.qcow2" in told
    tofu.write(GOOD)


RUNNING = """
resource "jvp_storage_pool" "pool" {
  name = "${local.P}-pool"
  path = local.FOLDER
}

resource "jvp_instance" "vm" {
  name             = "${local.P}-vm"
  memory           = "32MiB"
  max_cpus         = local.CPUS
  virt_type        = "qemu"
  shutdown_timeout = "0s"
  root_disk        = { pool = jvp_storage_pool.pool.id, size = "1MiB" }
}
"""


def test_what_waits_for_a_power_cycle_is_told_by_every_plan(make_module: Callable[..., Tofu]) -> None:
    tofu = make_module()
    tofu.write(RUNNING, CPUS=1)
    tofu.apply()
    tofu.write(RUNNING, CPUS=2)
    tofu.apply()
    for _ in range(2):
        plan = tofu.plan()
        assert plan.code == 0
        told = " ".join(plan.text.replace("│", " ").split())
        vm = f'"{tofu.names["P"]}-vm"'
        assert f"Warning: Note: {vm}" in told
        sentence = f"{vm} runs without what is still pending: max_cpus (takes effect at the next power cycle)"
        assert told.count(sentence) == 1
