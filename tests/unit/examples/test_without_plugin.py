"""The second example: the first one's program, in the dynamic form."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pulumi
import yaml

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
FIRST, SECOND = EXAMPLES / "01-first-instance", EXAMPLES / "02-without-plugin"


def code(folder: Path) -> list[str]:
    """The program without its docstring and imports."""
    text = (folder / "__main__.py").read_text(encoding="utf-8").partition('"""')[2].partition('"""')[2]
    return [line for line in text.splitlines() if line and not line.startswith(("import ", "from "))]


def project(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "Pulumi.yaml").read_text(encoding="utf-8")))


def test_the_program_is_that_of_the_first_example() -> None:
    assert code(SECOND) == code(FIRST)
    assert project(SECOND)["config"].keys() == project(FIRST)["config"].keys()
    assert "plugins" not in project(SECOND)


def test_it_registers_dynamic_resources_alone() -> None:
    made: dict[str, str] = {}

    class Node(pulumi.runtime.Mocks):
        def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
            made[args.name] = args.typ
            outputs = {"ipAddress": "192.168.151.7"} if args.name == "instance" else {}
            return f"id-of-{args.name}", {**args.inputs, **outputs}

        def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
            raise AssertionError(f"the program asks {args.token}")

    name = project(SECOND)["name"]
    seen: list[str] = []

    @pulumi.runtime.test
    def program() -> pulumi.Output[Any]:
        settings = {f"{name}:{key}": str(one["default"]) for key, one in project(SECOND)["config"].items()}
        pulumi.runtime.set_all_config(settings)
        return runpy.run_path(str(SECOND / "__main__.py"))["instance"].ip_address.apply(seen.append)

    pulumi.runtime.set_mocks(Node(), project=name, stack="dev", preview=False)
    program()
    pulumi.runtime.set_all_config({})
    assert seen == ["192.168.151.7"]
    assert {key: kind.removeprefix("pulumi-python:dynamic/jvp:") for key, kind in made.items()} == {
        "pool": "StoragePool", "image": "Template", "network": "Network", "data": "Volume", "instance": "Instance",
    }  # fmt: skip
