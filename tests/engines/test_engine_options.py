"""What Pulumi itself offers for every resource: names, protection, retaining, providers, aliases, ignored changes."""

from __future__ import annotations

import re
import shlex
from typing import Any

from engine_stack import Stack


def networks(daemon: Any, stack: Stack) -> list[str]:
    """The names of the stack's networks, without their prefix."""
    prefix = stack.names["P"]
    return sorted(one.name().removeprefix(prefix) for one in daemon.listAllNetworks(0) if one.name().startswith(prefix))


def test_a_name_is_made_up_and_stays(stack: Stack, daemon: Any) -> None:
    program = 'net = jvp.Network(P + "net", cidr=CIDR, autostart=auto)\npulumi.export("name", net.name)'
    stack.write(program, auto=True)
    stack.up()
    (name,) = networks(daemon, stack)
    assert re.fullmatch(r"net-[0-9a-f]{7}", name)
    stack.write(program, auto=False)
    assert stack.up().ops == {stack.names["P"] + "net": ["update"]}
    assert networks(daemon, stack) == [name]


def test_a_pattern_for_names_is_followed(stack: Stack, daemon: Any) -> None:
    stack.set_project(config={"pulumi:autonaming": {"value": {"pattern": stack.names["P"] + "${stack}-${name}"}}})
    stack.write('jvp.Network("lan", cidr=CIDR)')
    stack.up()
    assert networks(daemon, stack) == ["dev-lan"]
    stack.settle()


def test_what_is_protected_is_not_deleted(stack: Stack, daemon: Any) -> None:
    program = 'jvp.Network("net", name=P + "net", cidr=CIDR, opts=pulumi.ResourceOptions(protect=protect))'
    stack.write(program, protect=True)
    stack.up()
    assert "protect" in stack.destroy(ok=False).text
    assert networks(daemon, stack) == ["net"]
    stack.write(program, protect=False)
    stack.up()
    stack.destroy()
    assert networks(daemon, stack) == []


def test_what_was_retained_is_never_taken_over_by_the_next_up(stack: Stack, daemon: Any) -> None:
    program = """jvp.Network("net", name=P + name, cidr=cidr, opts=pulumi.ResourceOptions(retain_on_delete=True))"""
    stack.write(program, name="net", cidr=stack.names["CIDR"])
    stack.up()
    stack.refresh()  # the first read acknowledges
    uuid = stack.state()["net"]["id"]
    stack.destroy()
    assert networks(daemon, stack) == ["net"]
    refused = stack.up(ok=False)
    assert f"name: the network that has it already, with the id {uuid}, was made for this very" in refused.errors
    said = "if it is in no state any more, import it: pulumi "
    assert said in refused.errors
    command = shlex.split(refused.errors.partition(said)[2].splitlines()[0])
    assert command == ["import", "jvp:index:Network", "net", uuid]
    stack(*command, "--yes", "--protect=false", "--generate-code=false")
    assert stack.state()["net"]["id"] == uuid
    stack("state", "delete", stack.state()["net"]["urn"], "--yes")
    stack.write(program, name="other", cidr="203.0.113.0/24")
    stack.up()
    assert networks(daemon, stack) == ["net", "other"]
    assert stack.state()["net"]["id"] != uuid


def test_a_forced_replacement_is_told_what_it_needs(stack: Stack, daemon: Any) -> None:
    """Asked to replace what has not changed, the engine makes the new one first."""
    program = """
        options = pulumi.ResourceOptions(delete_before_replace=first)
        jvp.Network("net", name=P + "net", cidr=CIDR, opts=options)
        jvp.StoragePool("pool", name=P + "pool", path=FOLDER, opts=options)
    """
    stack.write(program, first=None)
    stack.up()
    before = stack.state()
    stack("state", "taint", before["net"]["urn"], "--yes")
    tainted, asked = stack.up(ok=False), stack.up("--replace", before["pool"]["urn"], ok=False)
    for name, refused in (("net", tainted), ("pool", asked)):
        assert f"with the id {before[name]['id']}, was made for this very resource" in refused.errors
        assert "needs delete_before_replace=True in the resource's options" in refused.errors
        assert "choose another name" not in refused.errors
    assert networks(daemon, stack) == ["net"]
    stack.write(program, first=True)
    done = stack.up("--replace", before["pool"]["urn"])
    replaced = {"delete-replaced", "replace", "create-replacement"}
    assert {name: set(ops) for name, ops in done.ops.items()} == {"net": replaced, "pool": replaced}
    assert networks(daemon, stack) == ["net"]
    stack.settle()


def test_two_providers_side_by_side_in_one_program(stack: Stack, daemon: Any) -> None:
    stack.write("""
        here = jvp.Provider("here", uri="qemu:///system", owner="here")
        there = jvp.Provider("there", uri="qemu+unix:///system?socket=/var/run/libvirt/libvirt-sock", owner="there")
        pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER, opts=pulumi.ResourceOptions(provider=here))
        data = jvp.Volume(
            "data", name=P + "data", pool=pool.id, size="1MiB", opts=pulumi.ResourceOptions(provider=there)
        )
        jvp.Network("net", name=P + "net", cidr=CIDR, opts=pulumi.ResourceOptions(provider=there))
        seen = jvp.get_network_leases_output(network="default", opts=pulumi.InvokeOptions(provider=here))
        pulumi.export("path", data.path)
    """)
    stack.up()
    stack.settle()
    assert stack.outputs()["path"] == f"{stack.names['FOLDER']}/{stack.names['P']}data"
    stack.destroy()
    assert networks(daemon, stack) == []


def test_another_uri_or_owner_replaces_nothing(stack: Stack) -> None:
    program = """
        node = jvp.Provider("node", uri=uri, owner=owner)
        jvp.Network("net", name=P + "net", cidr=CIDR, opts=pulumi.ResourceOptions(provider=node))
    """
    stack.write(program, uri=None, owner=None)
    stack.up()
    stack.write(program, uri="qemu:///system", owner="somebody")
    assert "net" not in stack.up().ops
    stack.settle()


def test_an_alias_renames_a_resource_in_the_program_without_a_change(stack: Stack) -> None:
    stack.write('jvp.Network("net", name=P + "net", cidr=CIDR)')
    stack.up()
    stack.write(
        'jvp.Network("lan", name=P + "net", cidr=CIDR, opts=pulumi.ResourceOptions(aliases=[pulumi.Alias(name="net")]))'
    )
    assert stack.preview().ops == {}
    stack.up()
    assert set(stack.state()) == {"lan"}


def test_ignored_changes_are_left_alone(stack: Stack, daemon: Any) -> None:
    program = """
        jvp.Network(
            "net", name=P + "net", cidr=CIDR, autostart=False,
            opts=pulumi.ResourceOptions(ignore_changes=["autostart"]),
        )
    """
    stack.write(program)
    stack.up()
    daemon.networkLookupByName(stack.names["P"] + "net").setAutostart(1)
    stack.settle()
