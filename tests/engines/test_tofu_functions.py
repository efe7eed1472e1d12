"""The provider's functions under the real hosts: they are known before any node is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tofu_stack import Tofu, programs

MODULE = """
output "told" {
  value = {
    bytes = provider::jvp::size_bytes("2GiB")
    size  = provider::jvp::size(5 * 1024 * 1024)
    mac   = provider::jvp::mac("web", "eth0")
    users = provider::jvp::cloud_init({ packages = ["nginx"], timezone = null, ntp = { enabled = true } })
  }
}
"""


@pytest.mark.parametrize("program", sorted(programs()))
def test_functions_answer_in_every_host(make_module: Callable[..., Tofu], program: str) -> None:
    tofu = make_module(program=program)
    tofu.write(MODULE)
    tofu.apply()
    told = tofu.outputs()["told"]
    assert told["bytes"] == 2 * 2**30
    assert told["size"] == "5MiB"
    assert told["mac"].startswith("52:54:00:")
    assert told["users"].startswith("#cloud-config\n")
    assert "nginx" in told["users"]
    assert "timezone" not in told["users"]
