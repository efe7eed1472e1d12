"""Two engines at once: their providers, warm ones of the same process, lose nothing and take nothing of each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import objects
from tests.starting import Start
from tofu_stack import Tofu

MODULE = """
provider "jvp" {
  owner = local.OWNER
}

resource "jvp_network" "lan" {
  name = local.PRIZE
  mode = "isolated"
}

resource "jvp_storage_pool" "pool" {
  name = "${local.P}-pool"
  path = local.FOLDER
}

resource "jvp_volume" "data" {
  count = 4
  name  = "${local.P}-${count.index}"
  pool  = jvp_storage_pool.pool.id
  size  = "1MiB"
}
"""


@pytest.mark.both_ways
def test_one_of_two_has_the_name_and_all_else_is_made(
    make_module: Callable[..., Tofu], daemon: Any, started: Start
) -> None:
    both = [make_module(), make_module()]
    prize = f"{both[0].names['P']}-prize"
    for number, module in enumerate(both):
        module.write(MODULE, PRIZE=prize, OWNER=f"owner {number}")
    processes = [module.start("apply", "-no-color", "-auto-approve") for module in both]
    said = [" ".join(process.communicate(timeout=120)[0].replace("│", "").split()) for process in processes]
    lost = [module for module, process in zip(both, processes, strict=True) if process.returncode]
    # Both may be refused where each sees that the other has begun: the next apply of one has it then.
    assert lost, said
    assert all(f'"{prize}"' in text for text, process in zip(said, processes, strict=True) if process.returncode), said
    for module in both:
        assert len([one for one in module.state() if one.startswith("jvp_volume")]) == 4, said
    winner = next((module for module in both if module not in lost), both[0])
    winner.apply()
    winner.settle()
    loser = next(module for module in both if module is not winner)
    loser.apply(ok=False)
    loser.destroy()
    winner.settle()
    assert objects(daemon, loser.names["P"]) <= {f"network {prize}"}
    winner.destroy()
    assert not objects(daemon, prize)
    started.assert_kept()
