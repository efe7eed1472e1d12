"""The pages for Terraform and OpenTofu: every resource and data source has one, and its example is sound."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from engine_stack import ROOT
from tests.starting import Start
from tofu_home import TofuHome
from tofu_stack import programs
from tools import gen_docs

from jvp.doors.cli.terraformmirror import PLATFORMS, SOURCE
from jvp.doors.terraform.plugin import registered

EXAMPLES = ROOT / "docs" / "examples"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl somebody\n"


def test_every_resource_and_data_source_has_its_page_and_its_example() -> None:
    told = registered().schemas.whole
    for folder, names in (("resources", told.resource_schemas), ("data-sources", told.data_source_schemas)):
        assert {page.stem for page in (EXAMPLES / folder).glob("*.tf")} == set(names)
        assert {f"jvp_{page.stem}" for page in (ROOT / "docs" / folder).glob("*.md")} == set(names)
    for path, text in gen_docs.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: run `make schema`"


def test_the_examples_are_one_configuration_that_can_be_planned(tmp_path: Path, daemon: object, started: Start) -> None:
    home = TofuHome(tmp_path / "home", python_path=os.environ.get("PYTHONPATH"))
    home.install()
    (home.folder / ".ssh").mkdir()
    (home.folder / ".ssh" / "id_ed25519.pub").write_text(KEY, encoding="utf-8")
    module = tmp_path / "module"
    shutil.copytree(EXAMPLES / "resources", module)
    shutil.copy(EXAMPLES / "provider.tf", module)
    home.tofu(module, "init")
    # One checksum holds for every platform, whatever `init` warns of.
    lock = (module / ".terraform.lock.hcl").read_text(encoding="utf-8")
    assert lock.count('"h1:') == 1
    platforms = [f"-platform={one}" for one in PLATFORMS]
    program = next(iter(programs().values()))
    home.run(program, "providers", "lock", f"-fs-mirror={home.mirror}", *platforms, SOURCE, folder=module)
    assert (module / ".terraform.lock.hcl").read_text(encoding="utf-8") == lock
    planned = home.tofu(module, "plan")
    assert "Plan: 14 to add, 0 to change, 0 to destroy." in planned
    # What they look up is nowhere on this node.
    shutil.copytree(EXAMPLES / "data-sources", module, dirs_exist_ok=True, copy_function=_beside)
    home.tofu(module, "validate")
    home.tofu(EXAMPLES, "fmt", "-check", "-recursive")


def test_the_test_that_the_page_on_testing_shows_passes(tmp_path: Path, started: Start) -> None:
    home = TofuHome(tmp_path / "home", python_path=os.environ.get("PYTHONPATH"))
    home.install()
    module = tmp_path / "module"
    module.mkdir()
    page = (ROOT / "docs" / "pulumi" / "testing.md").read_text(encoding="utf-8")
    for name, text in re.findall(r"`([\w.]+)`:\n\n```terraform\n(.*?)```\n", page, re.DOTALL):
        (module / name).write_text(text, encoding="utf-8")
    home.tofu(module, "init")
    assert "1 passed, 0 failed" in home.tofu(module, "test", "-no-color")
    home.tofu(module, "fmt", "-check")


def _beside(source: str, target: str) -> str:
    """A data source may have the name of a resource."""
    return str(shutil.copy(source, Path(target).with_stem(f"{Path(target).stem}_data")))
