"""The provider, or the whole engine, killed in the middle of an apply or a destroy: the next one converges."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import objects
from tests.starting import Start, warm_up
from tofu_stack import Tofu

from faults import armed

# Ids in capitals mean the same, and stay as they are written.
MODULE = """
provider "jvp" {
  uri       = "qemu:///system"
  virt_type = "qemu"
}

resource "jvp_storage_pool" "pool" {
  name = "${local.P}-pool"
  path = local.FOLDER
}

resource "jvp_network" "net" {
  count = local.stage > 0 ? 1 : 0
  name  = "${local.P}-net"
  cidr  = local.CIDR
}

resource "jvp_volume" "data" {
  count = local.stage > 1 ? 1 : 0
  name  = "${local.P}-data"
  pool  = upper(jvp_storage_pool.pool.id)
  size  = "2MiB"
}

resource "jvp_instance" "vm" {
  count     = local.stage > 2 ? 1 : 0
  name      = "${local.P}-vm"
  memory    = "32MiB"
  root_disk = { pool = upper(jvp_storage_pool.pool.id), size = "1MiB" }
  disks     = [{ name = "data", volume = jvp_volume.data[0].id }]
  nics      = [{ name = "eth0", network = upper(jvp_network.net[0].id) }]

  shutdown_timeout = "0s"
}
"""
# What a stage makes, and the writing calls of its create and of its delete at which the provider dies.
POINTS = {1: ("jvp_network.net[0]", 3, 1), 2: ("jvp_volume.data[0]", 5, 3), 3: ("jvp_instance.vm[0]", 3, 2)}


@pytest.fixture
def module(make_module: Callable[..., Tofu]) -> Tofu:
    return make_module()


def staged(tofu: Tofu, stage: int) -> None:
    tofu.write(MODULE, stage=stage)


def dying(tofu: Tofu, started: Start, number: int, victim: str) -> None:
    """An apply whose provider is killed after its writing call of this number, or the one who dies with it."""
    if started.is_warm:
        warm_up(armed.COMMAND, armed.SELF)
    kept, log = dict(tofu.env), tofu.folder / "killed"
    tofu.env |= armed.place(number, victim, log)
    try:
        tofu.apply(ok=False)
    finally:
        tofu.env = kept
    assert armed.killed(log) == [started.way]


@pytest.mark.both_ways
def test_the_provider_dies_and_the_next_apply_converges(module: Tofu, daemon: Any, started: Start) -> None:
    """Also when its launcher does, or the warm process that it was forked from."""
    victims = itertools.cycle(armed.VICTIMS)
    module.override(module.folder / "bin", armed.script("terraform"))
    staged(module, 0)
    module.apply()
    for stage, (address, create, delete) in POINTS.items():
        staged(module, stage)
        dying(module, started, create, next(victims))
        module.apply()
        assert address in module.state()
        made = objects(daemon, module.names["P"])
        staged(module, stage - 1)
        dying(module, started, delete, next(victims))
        module.apply()
        assert address not in module.state()
        staged(module, stage)
        module.apply()
        assert objects(daemon, module.names["P"]) == made, "not what a run makes that nobody kills"
    module.settle()
    module.destroy()
    module.assert_no_complaints()


@pytest.mark.both_ways
def test_the_engine_is_killed_while_it_applies(module: Tofu, daemon: Any, started: Start) -> None:
    """Its provider ends with it; what was made and is in no state is found again by the next apply."""
    staged(module, 3)
    name = module.names["P"]
    process = module.start("apply", "-no-color", "-auto-approve")
    end = time.monotonic() + 120
    while not any(one.startswith(f"network {name}") for one in objects(daemon, name)) and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
    process.communicate()
    module.apply()
    assert {"jvp_network.net[0]", "jvp_volume.data[0]", "jvp_instance.vm[0]"} <= set(module.state())
    module.settle()
    assert [one.name() for one in daemon.listAllDomains(0) if one.name().startswith(name)] == [f"{name}-vm"]
    module.destroy()
    started.assert_kept()


WAITING = """
provider "jvp" {
  uri       = "qemu:///system"
  virt_type = "qemu"
}

resource "jvp_network" "net" {
  name = "${local.P}-net"
  cidr = local.CIDR
}

resource "jvp_storage_pool" "pool" {
  name = "${local.P}-pool"
  path = local.FOLDER
}

resource "jvp_instance" "vm" {
  name             = "${local.P}-vm"
  memory           = "32MiB"
  root_disk        = { pool = jvp_storage_pool.pool.id, size = "1MiB" }
  nics             = [{ name = "eth0", network = jvp_network.net.id }]
  wait_for         = local.wait_for
  wait_timeout     = "1s"
  shutdown_timeout = "0s"
}
"""


def test_a_create_whose_wait_ran_out_goes_on_by_the_command_that_it_names(module: Tofu, daemon: Any) -> None:
    module.write(WAITING, wait_for="ip")
    failed = module.apply(ok=False)
    command = f"{module.program.name} untaint ADDRESS"
    assert f"run {command}, with the address that stands above, and apply again" in failed.errors
    assert "with jvp_instance.vm," in failed.errors
    made = daemon.lookupByName(f"{module.names['P']}-vm").UUIDString()
    module.write(WAITING, wait_for="none")
    module.plan()
    assert module.changes() == {"jvp_instance.vm": ["delete", "create"]}
    module("untaint", "-no-color", "jvp_instance.vm")
    module.apply()
    assert daemon.lookupByName(f"{module.names['P']}-vm").UUIDString() == made
    module.settle()

    # What waits is told in the names that stand in the configuration.
    module.write(WAITING.replace('"32MiB"', '"48MiB"\n  max_memory = "64MiB"'), wait_for="none")
    module.apply()
    pending = module.state()["jvp_instance.vm"]["pending"]
    assert [one.partition(":")[0] for one in pending] == ["max_memory", "memory"]
    module.settle()
    module.destroy()
    module.assert_no_complaints()
