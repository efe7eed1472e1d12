"""Which line of a configuration an error is shown at, by the real programs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tofu_stack import Tofu, programs

MODULE = """\
resource "jvp_instance" "vm" {
  name      = "a"
  memory    = "1xx"
  root_disk = {
    size = "1xx"
  }
  disks = [
    { name = "ok", volume = "p/v" },
    { name = "no/", volume = "p/v" },
  ]
  nics = [{
    name = "no/"
  }]
  cloud_init = {
    hostname = "a b"
    users = [
      { name = "a b" },
    ]
  }
}
"""
LINES = {
    "memory": 3,
    "root_disk.size": 5,
    "disks[1].name": 9,
    "nics[0].name": 11,
    "cloud_init.hostname": 15,
    "cloud_init.users[0].name": 16,
}


@pytest.mark.parametrize("program", sorted(programs()))
def test_an_error_stands_at_its_line_and_names_the_whole_path(make_module: Callable[..., Tofu], program: str) -> None:
    tofu = make_module(program=program)
    tofu.write(MODULE)
    text = tofu("validate", "-json", ok=False).text
    told = json.loads(text[text.index("{") :])["diagnostics"]
    found = {
        one["detail"].partition(": ")[0]: one["range"]["start"]["line"] for one in told if one["severity"] == "error"
    }
    assert found == LINES
