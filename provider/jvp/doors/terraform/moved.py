"""What comes from the provider libvirt by a `moved` block.

The host hands over that provider's state of one resource. OpenTofu has configured us by then, Terraform has not, so
nothing is looked up here: the new state holds an id that says where the object is, and the read that follows takes the
object as an import does. The mark is in the id, for not every Terraform keeps the private bytes of a move.
Source: OpenTofu, `internal/tofu/upgrade_resource_state.go`; Terraform, `internal/refactoring/cross_provider_move.go`;
the states of dmacvicar/libvirt 0.8 (`libvirt/resource_*.go`, `cloudinit_def.go`) and 0.9 (`internal/provider`).
"""

from __future__ import annotations

import json
import re
from typing import Any

from jvp.core.errors import Invalid, Rejected
from jvp.core.types import is_uuid
from jvp.doors.terraform.values import Raw

MARK = "moved:"
PROVIDER = re.compile(r"(?:(?:[^/]+/)?dmacvicar/)?libvirt|(?:(?:[^/]+/)?jvp/)?jvp")
"""How the host names the source: OpenTofu before 1.12.4 by its type alone, others by the full address. Terraform names
the target's provider from the second instance of a resource on, for the first move has set it in the state: there the
type alone tells whose it was, and no type of ours begins with `libvirt_`."""
BECOMES = {
    "libvirt_domain": "jvp_instance",
    "libvirt_network": "jvp_network",
    "libvirt_pool": "jvp_storage_pool",
    "libvirt_volume": "jvp_volume",
    "libvirt_cloudinit_disk": "jvp_volume",
}


def reference_in(provider: str, source: str, target: str, state: bytes) -> str:
    """What the object is found by: a uuid, a path, or pool/name. Raises Rejected, Invalid."""
    try:
        raw = json.loads(state)
    except ValueError:
        raw = None
    name = raw.get("name") if isinstance(raw, dict) else None
    what = f'{source} "{name}"' if name else source
    if not PROVIDER.fullmatch(provider) or not source.startswith("libvirt_"):
        raise Rejected(f'only resources of "dmacvicar/libvirt" can be moved to jvp, and the {what} is of "{provider}"')
    if BECOMES.get(source) != target:
        known = ", ".join(f"{old} -> {new}" for old, new in BECOMES.items())
        raise Rejected(f"the {what} cannot become a {target}; what can be moved: {known}")
    if not isinstance(raw, dict):
        raise Invalid(
            f"the state of the {source} cannot be read; run an apply with the provider libvirt 0.8 or newer first"
        )
    found = _volume(source, raw) if target == "jvp_volume" else _uuid(raw)
    if found is None:
        raise Invalid(f"the state of the {what} does not say which object it is; import that object instead")
    return found


def _uuid(raw: dict[str, Any]) -> str | None:
    """0.8 has the uuid as the id; 0.9 has it beside an id, which of a domain is the number of its run."""
    named = (raw.get("uuid"), raw.get("id"))
    return next((one for one in named if isinstance(one, str) and is_uuid(one)), None)


def _volume(source: str, raw: dict[str, Any]) -> str | None:
    """The path, by which libvirt finds a volume whatever pool it is in; else pool/name."""
    key, pool, name = (raw.get(one) for one in ("id", "pool", "name"))
    if source == "libvirt_cloudinit_disk":
        if not pool:
            raise Rejected(
                f'the libvirt_cloudinit_disk "{name}" is a file on this machine, not a volume of the node; remove it '
                "from the state, and move the libvirt_volume that has its content"
            )
        key = str(key).rpartition(";")[0]
    if isinstance(key, str) and key.startswith("/"):
        return key
    return f"{pool}/{name}" if pool and name else None


def marked(reference: str) -> str:
    """The id until the first read."""
    return MARK + reference


def reference_of(raw: Raw) -> str | None:
    """What a resource that was moved and not read yet is found by; None for every other."""
    known = str(raw.get("id") or "")
    return known.removeprefix(MARK) if known.startswith(MARK) else None


def refuse_unread(raw: Raw | None) -> None:
    """Raises Rejected for a resource that was moved and not read yet: a plan for it would be a guess."""
    if raw is not None and reference_of(raw) is not None:
        raise Rejected("the resource was moved here and is not read yet; run this once without -refresh=false")
