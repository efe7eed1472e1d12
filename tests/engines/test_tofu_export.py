"""What `jvp terraform export` prints is a configuration that imports all of it and then has nothing to do."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from test_tofu_import import MAKER, NAMES
from tofu_stack import PLAN, Tofu


def export(*words: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "jvp.doors.cli.main", "terraform", "export", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def test_the_exported_configuration_imports_everything_and_changes_nothing(
    make_module: Callable[..., Tofu], tmp_path: Path
) -> None:
    tofu = make_module()
    image = tmp_path / "image"
    image.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))
    tofu.write(MAKER, IMAGE=str(image))
    tofu.apply()
    tofu.settle()
    names = {address: name.format(**tofu.names) for address, name in NAMES.items()}
    names.pop("jvp_template.image")  # its source is known to its maker alone
    ids = {one: tofu.state()[one]["id"] for one in names}
    tofu.state_file.unlink()
    text = "\n".join(export(address.partition(".")[0], name) for address, name in names.items())
    (tofu.module / "main.tf").write_text(text, encoding="utf-8")
    assert tofu("fmt", "-check", "-diff", "main.tf").text == ""
    tofu.plan()
    assert {one["change"].get("importing", {}).get("id") for one in tofu.show(PLAN)["resource_changes"]} == set(
        ids.values()
    )
    assert tofu.changes() == {}
    tofu.apply()
    tofu.settle()


def test_objects_that_are_exported_together_refer_to_each_other(make_module: Callable[..., Tofu]) -> None:
    tofu = make_module()
    tofu.write(
        """
        resource "jvp_storage_pool" "pool" {
          name = "${local.P}-pool"
          path = local.FOLDER
        }

        resource "jvp_volume" "data" {
          name = "${local.P}-data"
          pool = jvp_storage_pool.pool.id
          size = "1MiB"
        }

        data "jvp_volumes" "here" {
          pool       = jvp_storage_pool.pool.id
          details    = true
          depends_on = [jvp_volume.data]
        }

        output "here" {
          value = [for one in data.jvp_volumes.here.volumes : "${one.name} ${one.size_bytes} ${one.declared_by}"]
        }
        """
    )
    tofu.apply()
    assert tofu.outputs()["here"] == [f"{tofu.names['P']}-data {1 << 20} terraform:default"]
    label = f"{tofu.names['P']}-pool"
    assert re.search(rf"^  pool += jvp_storage_pool.{label}.id$", export(), re.MULTILINE)


def test_what_is_not_there_is_one_sentence() -> None:
    assert "network" in export("network", "no-such-network", code=1)
    assert "uri: must begin with qemu" in export("--uri", "foo://user:hush@x", code=1)
    assert export("netwrok", code=1).startswith('jvp: "netwrok" is no kind of resource; there are ')
