"""Text that guests and strangers wrote, in the real display: with colours, as a terminal has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mouthy
from engine_stack import Run, Stack
from tofu_stack import Tofu

EVIL = "<{%evil%}> \x1b]0;owned\x07 \u202ereversed"
SHOWN = r"<\x7b%evil%}> \x1b]0;owned\x07 \u202ereversed"
PROGRAM = """
pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
image = jvp.Template("image", name=P + "image", pool=pool.id, source={"path": IMAGE})
net = jvp.Network("net", name=P + "net", cidr=CIDR)
vm = jvp.Instance(
    "vm", name=P + "vm", template=image.id, memory="32MiB", virt_type="qemu", shutdown_timeout="0s",
    nics=[{"name": "eth0", "network": net.id}], wait_for=wait, wait_timeout="4s", iso=iso,
)
"""


def coloured(stack: Stack, *words: str, ok: bool | None = True) -> Run:
    run = stack(*words, "--color", "always", ok=ok)
    assert "panic" not in run.text, run
    assert "Unrecognized color code" not in run.text
    return run


def test_a_console_line_is_harmless_in_every_display(stack: Stack, tmp_path: Path) -> None:
    image = mouthy.write(tmp_path / "mouthy.img", f"login: {EVIL}\r\n".encode())
    stack.write(PROGRAM, IMAGE=str(image), wait="ip", iso=None)
    failed = coloured(stack, "up", "--yes", "--skip-preview", ok=False)
    assert f"which ends with: login: {SHOWN}" in failed.text
    assert EVIL not in failed.text
    assert SHOWN in stack.state_file.read_text(encoding="utf-8").encode().decode("unicode_escape")

    # A state of an older version has the line as the guest wrote it.
    checkpoint = json.loads(stack.state_file.read_text(encoding="utf-8"))
    (vm,) = [one for one in checkpoint["checkpoint"]["latest"]["resources"] if one["type"] == "jvp:index:Instance"]
    vm["initErrors"] = [f"no address, which ends with: {EVIL}"]
    vm["outputs"]["__jvp"]["unfinished"] = [*vm["initErrors"]]
    stack.state_file.write_text(json.dumps(checkpoint), encoding="utf-8")
    assert SHOWN in coloured(stack, "preview", "--diff").text
    coloured(stack, "refresh", "--yes", "--skip-preview")

    # A stranger's file, in an error that names those that exist.
    Path(stack.names["FOLDER"], "<{%evil%}>").touch()
    stack.write(PROGRAM, IMAGE=str(image), wait="none", iso=f"{stack.names['P']}pool/nothing")
    assert r"<\x7b%evil%}>" in coloured(stack, "up", "--yes", "--skip-preview", ok=False).text
    Path(stack.names["FOLDER"], "<{%evil%}>").unlink()
    coloured(stack, "destroy", "--yes", "--skip-preview")


MODULE = """
resource "jvp_storage_pool" "pool" {
  name = "${local.P}-pool"
  path = local.FOLDER
}

resource "jvp_template" "image" {
  name   = "${local.P}-image"
  pool   = jvp_storage_pool.pool.id
  source = { path = local.IMAGE }
}

resource "jvp_network" "net" {
  name = "${local.P}-net"
  cidr = local.CIDR
}

resource "jvp_instance" "vm" {
  name         = "${local.P}-vm"
  template     = jvp_template.image.id
  memory       = "32MiB"
  virt_type    = "qemu"
  nics         = [{ name = "eth0", network = jvp_network.net.id }]
  wait_for     = "ip"
  wait_timeout = "4s"
}
"""


def test_a_console_line_reaches_no_terminal_raw_through_hcl(make_module: Callable[..., Tofu], tmp_path: Path) -> None:
    module = make_module()
    image = mouthy.write(tmp_path / "mouthy.img", f"login: {EVIL}\r\n".encode())
    module.write(MODULE, IMAGE=str(image))
    failed = module.apply(ok=False)
    assert r"\x1b]0;owned\x07" in failed.errors
    assert not any(character in failed.text for character in "\x1b\x07\u202e")
    (reason,) = module.state()["jvp_instance.vm"]["unfinished"]
    assert reason.endswith(f"which ends with: login: {SHOWN}")
    module.destroy()
