"""What comes from the provider libvirt: which states say which object, and what is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from jvp.core.errors import Invalid, JvpError, Rejected
from jvp.doors.terraform import moved
from jvp.doors.terraform.plugin import SOURCE, registered
from jvp.doors.terraform.protocol import Message, message
from jvp.doors.terraform.values import decode, encode

UUID = "6a5f9a1e-95d5-4d3b-8a2a-0c9f3a1f7b11"
FULL = "registry.example/dmacvicar/libvirt"


@pytest.mark.parametrize(
    ("source", "target", "state", "reference"),
    [
        ("libvirt_domain", "jvp_instance", {"id": UUID, "name": "vm", "vcpu": 2}, UUID),  # 0.8
        ("libvirt_domain", "jvp_instance", {"id": 7, "uuid": UUID, "name": "vm"}, UUID),  # 0.9: the run's number
        ("libvirt_domain", "jvp_instance", {"id": None, "uuid": UUID}, UUID),
        ("libvirt_network", "jvp_network", {"id": UUID, "uuid": UUID}, UUID),
        ("libvirt_pool", "jvp_storage_pool", {"id": UUID, "name": "default"}, UUID),
        ("libvirt_volume", "jvp_volume", {"id": "/pool/a;b", "name": "a;b", "pool": "default"}, "/pool/a;b"),
        ("libvirt_volume", "jvp_volume", {"id": "rbd-key", "name": "disk", "pool": "ceph"}, "ceph/disk"),
        ("libvirt_cloudinit_disk", "jvp_volume", {"id": f"/pool/ci.iso;{UUID}", "pool": "default"}, "/pool/ci.iso"),
    ],
)
def test_a_state_says_which_object_it_is(source: str, target: str, state: dict[str, Any], reference: str) -> None:
    assert moved.reference_in(FULL, source, target, json.dumps(state).encode()) == reference


# Ours: what Terraform says of every instance after the first.
@pytest.mark.parametrize(
    "provider", ["libvirt", "dmacvicar/libvirt", FULL, "other.example/dmacvicar/libvirt", SOURCE, "jvp/jvp", "jvp"]
)
def test_the_source_is_known_by_its_short_and_its_full_name(provider: str) -> None:
    assert moved.reference_in(provider, "libvirt_pool", "jvp_storage_pool", json.dumps({"id": UUID}).encode()) == UUID


@pytest.mark.parametrize(
    "provider",
    ["", "other/libvirt", "libvirt2", "a/b/dmacvicar/libvirt", "dmacvicar/libvirt/x", "/dmacvicar/libvirt",
     "other/jvp", "jvp2", "a/b/jvp/jvp", "/jvp/jvp"],
)  # fmt: skip
def test_a_near_miss_of_the_source_is_refused(provider: str) -> None:
    said = f'only resources of "dmacvicar/libvirt" can be moved to jvp, and the libvirt_pool "a" is of "{provider}"'
    with pytest.raises(Rejected, match=f"^{re.escape(said)}$"):
        moved.reference_in(provider, "libvirt_pool", "jvp_storage_pool", json.dumps({"id": UUID, "name": "a"}).encode())


def test_our_own_provider_is_a_source_only_of_what_was_libvirts() -> None:
    with pytest.raises(Rejected, match=r'the jvp_storage_pool "a" is of "jvp\.internal/jvp/jvp"'):
        moved.reference_in(SOURCE, "jvp_storage_pool", "jvp_volume", json.dumps({"id": UUID, "name": "a"}).encode())


@pytest.mark.parametrize(
    ("source", "target", "state", "error"),
    [
        (
            "libvirt_pool",
            "jvp_volume",
            {"id": UUID},
            "the libvirt_pool cannot become a jvp_volume; what can be moved: ",
        ),
        ("libvirt_ignition", "jvp_volume", {"id": "/a;b"}, "the libvirt_ignition cannot become a jvp_volume"),
        ("libvirt_pool", "jvp_storage_pool", None, "the state of the libvirt_pool cannot be read"),
        (
            "libvirt_domain",
            "jvp_instance",
            {"id": "vm", "name": "n"},
            'the state of the libvirt_domain "n" does not say',
        ),
        ("libvirt_volume", "jvp_volume", {"id": 5, "pool": "default"}, "does not say which object it is; import"),
        (
            "libvirt_cloudinit_disk",  # 0.9
            "jvp_volume",
            {"id": "0f1e2d3c4b5a6978", "name": "init", "path": "/tmp/x.iso"},
            'the libvirt_cloudinit_disk "init" is a file on this machine, not a volume of the node; remove it',
        ),
    ],
)
def test_what_cannot_be_moved_is_refused_in_one_sentence(source: str, target: str, state: Any, error: str) -> None:
    with pytest.raises(JvpError, match=error):
        moved.reference_in(FULL, source, target, json.dumps(state).encode())


def test_broken_states_are_refused() -> None:
    for state in (b"", b"{", b"[]"):
        with pytest.raises(Invalid, match="the state of the libvirt_pool cannot be read"):
            moved.reference_in(FULL, "libvirt_pool", "jvp_storage_pool", state)


def test_a_host_that_has_not_configured_us_gets_a_state_that_only_a_read_may_use() -> None:
    """As Terraform does it; OpenTofu's way is tried with the real one."""
    servicer = registered()
    request = message("MoveResourceState.Request")(
        source_provider_address=FULL, source_type_name="libvirt_pool", target_type_name="jvp_storage_pool"
    )
    request.source_state.json = json.dumps({"id": UUID}).encode()
    raw = decode(servicer.MoveResourceState(request).target_state)
    schema = servicer.schemas.whole
    block = schema.resource_schemas["jvp_storage_pool"].block
    assert {name: value for name, value in raw.items() if value is not None} == {"id": f"moved:{UUID}"}
    assert sorted(raw) == [one.name for one in block.attributes]
    servicer.ConfigureProvider(message("ConfigureProvider.Request")(config=encode({})))
    with pytest.raises(Rejected, match="was moved here and is not read yet; run this once without -refresh=false"):
        servicer.PlanResourceChange(_plan(raw, {}))
    with pytest.raises(Rejected, match="not read yet"):
        servicer.PlanResourceChange(_plan(raw, None))


def _plan(prior: Any, proposed: Any) -> Message:
    return message("PlanResourceChange.Request")(
        type_name="jvp_storage_pool",
        prior_state=encode(prior),
        config=encode(proposed),
        proposed_new_state=encode(proposed),
    )
