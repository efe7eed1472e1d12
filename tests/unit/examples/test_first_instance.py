"""The first example under Pulumi's own mocks, as users test their programs."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "01-first-instance"
PROJECT = yaml.safe_load((EXAMPLE / "Pulumi.yaml").read_text(encoding="utf-8"))
DEFAULTS = {name: setting["default"] for name, setting in PROJECT["config"].items()}
ADDRESS = "192.168.150.7"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 somebody"


class Node(pulumi.runtime.Mocks):
    """Answers as a node would: an id for each resource, and an address for an instance."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.made[args.name] = args.inputs
        outputs = {"ipAddress": ADDRESS} if args.typ == "jvp:index:Instance" else {}
        return f"id-of-{args.name}", {**args.inputs, **outputs}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"the program asks {args.token}")


@pytest.fixture
def node() -> Iterator[Node]:
    mocks = Node()
    pulumi.runtime.set_mocks(mocks, project=PROJECT["name"], stack="dev", preview=False)
    yield mocks
    pulumi.runtime.set_all_config({})


def run(**config: Any) -> dict[str, Any]:
    """Run the program with its defaults and `config`; its globals."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in config.items()}
    pulumi.runtime.set_all_config({f"{PROJECT['name']}:{name}": text for name, text in {**DEFAULTS, **texts}.items()})
    return runpy.run_path(str(EXAMPLE / "__main__.py"))


def test_with_its_defaults_it_boots_debian_from_its_own_site(node: Node) -> None:
    @pulumi.runtime.test
    def program() -> pulumi.Output[Any]:
        return run()["instance"].ip_address

    program()
    assert set(node.made) >= {"pool", "image", "network", "data", "instance"}
    assert node.made["image"]["source"]["url"].startswith("https://cloud.debian.org/")
    assert "path" not in node.made["image"]["source"]
    sums = node.made["image"]["source"]["checksum"]
    assert sums == "sha512:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS"
    instance = node.made["instance"]
    assert instance["nics"] == [{"name": "eth0", "network": "id-of-network"}]
    assert instance["disks"] == [{"name": "data", "volume": "id-of-data"}]
    assert instance["waitFor"] == "ip"
    assert instance["cloudInit"]["users"] == [{"name": "admin", "sshKeys": [], "sudo": True}]


@pytest.mark.parametrize("image", ["/srv/image.qcow2", "https://example.org/image.qcow2"])
def test_an_image_of_ones_own_needs_no_checksum(node: Node, image: str) -> None:
    @pulumi.runtime.test
    def program() -> pulumi.Output[Any]:
        return run(image=image)["instance"].ip_address

    program()
    assert node.made["image"]["source"] == {"url" if "://" in image else "path": image}


def test_every_setting_reaches_what_it_is_for(node: Node) -> None:
    seen: list[str] = []

    @pulumi.runtime.test
    def program() -> pulumi.Output[Any]:
        made = run(
            prefix="web", image="/srv/image.qcow2", imageChecksum="sha256:" + 64 * "0", sshKey=KEY, user="eve",
            hostname="web1", cidr="10.1.2.0/24", memory="2GiB", maxMemory="4GiB", disks={"db": "5GiB", "log": "1GiB"},
        )  # fmt: skip
        return made["instance"].ip_address.apply(seen.append)

    program()
    assert seen == [ADDRESS]
    made = node.made
    assert [made[name]["name"] for name in ("pool", "image", "network", "db", "log", "instance")] == [
        "web-pool", "web-image", "web-net", "web-db", "web-log", "web-vm",
    ]  # fmt: skip
    assert made["image"]["source"] == {"path": "/srv/image.qcow2", "checksum": "sha256:" + 64 * "0"}
    assert made["network"]["cidr"] == "10.1.2.0/24"
    # One more disk takes the first one from nobody.
    assert (made["data"]["size"], made["db"]["size"], made["log"]["size"]) == ("1GiB", "5GiB", "1GiB")
    instance = made["instance"]
    assert (instance["memory"], instance["maxMemory"]) == ("2GiB", "4GiB")
    assert [disk["name"] for disk in instance["disks"]] == ["data", "db", "log"]
    assert instance["cloudInit"]["hostname"] == "web1"
    assert instance["cloudInit"]["users"] == [{"name": "eve", "sshKeys": [KEY], "sudo": True}]


def test_the_project_finds_the_plugin_without_a_path_of_a_machine() -> None:
    (provider,) = PROJECT["plugins"]["providers"]
    assert provider == {"name": "jvp", "path": "plugin"}
    assert PROJECT["runtime"] == {"name": "python", "options": {"virtualenv": "venv"}}
