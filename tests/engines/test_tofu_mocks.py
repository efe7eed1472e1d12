"""A module of a user's under the host's own mocks, which ask the provider for nothing but its schema."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tofu_stack import Tofu, drawn

MODULE = """
resource "jvp_storage_pool" "pool" {
  name = "mocked"
}

resource "jvp_network" "network" {
  name = "mocked"
  cidr = "10.0.0.0/24"
}

resource "jvp_instance" "vm" {
  name      = "mocked"
  root_disk = { pool = jvp_storage_pool.pool.id, size = "1GiB" }
  nics      = [{ name = "eth0", network = jvp_network.network.id }]
}

output "address" {
  value = jvp_instance.vm.ip_address
}
"""
TEST = """
mock_provider "jvp" {
  mock_resource "jvp_instance" {
    defaults = { ip_address = "10.0.0.9" }
  }
}

run "made" {
  assert {
    condition     = output.address == "10.0.0.9"
    error_message = "the address is ${output.address}"
  }
}
"""


@pytest.mark.parametrize("program", drawn("mocks"))
def test_every_kind_can_be_mocked(make_module: Callable[..., Tofu], program: str) -> None:
    tofu = make_module(program=program)
    tofu.write(MODULE)
    (tofu.module / "mocked.tftest.hcl").write_text(TEST, encoding="utf-8")
    assert "1 passed, 0 failed" in tofu("test", "-no-color").text
