"""What each door says of who declares a resource."""

from __future__ import annotations

import os
from pathlib import Path

from gadget import Host
from pulumi_rpc import Client
from terraform_rpc import Engine

from jvp.core.identity import DeclaredBy
from jvp.doors.terraform.owner import declarer, workspace


def test_pulumi_says_the_stack_and_the_address(provider: Client, host: Host) -> None:
    provider.create({"name": "a"})
    assert host.keys[-1].declared_by == DeclaredBy("pulumi", "shop/dev", "urn:pulumi:dev::shop::::thing")
    assert host.keys[-1].declared_by.address == host.keys[-1].address


def test_terraform_says_the_workspace_the_type_and_the_name(terraform: Engine, host: Host) -> None:
    terraform.create("jvp_gadget", {"name": "a"})
    assert host.keys[-1].declared_by == declarer(workspace(Path(os.getcwd())), "jvp_gadget", "a")  # noqa: PTH109
    assert declarer(workspace(Path("/nowhere")), "jvp_gadget", "a") == DeclaredBy(
        "terraform", "default", "jvp_gadget a"
    )
