"""The provider's own settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jvp.core.model import Spec
from jvp.core.types import Duration, Text


class Timeouts(Spec):
    """How long a verb may take. A resource's own `customTimeouts` win."""

    create: Annotated[Duration, Field(description="Creating a resource, its guest's boot included.")] = "10m"
    update: Annotated[Duration, Field(description="Updating a resource.")] = "10m"
    delete: Annotated[Duration, Field(description="Deleting a resource, a graceful stop included.")] = "5m"


class Provider(Spec):
    """Where the objects are, and whose they are."""

    uri: Annotated[
        Text | None,
        Field(
            description="The libvirt connection, like qemu:///system, qemu+ssh://root@host/system or "
            "qemu+tcp://host/system. By default LIBVIRT_DEFAULT_URI, and if that is unset qemu:///system."
        ),
    ] = None
    owner: Annotated[
        Text | None,
        Field(
            description="Whose objects these are. Needed only where two backends hold a stack of the same name "
            "and project for one node: objects of another owner are then never taken for this one's.",
            max_length=100,
        ),
    ] = None
    adopt: Annotated[
        bool,
        Field(
            description="Whether an object that is there already under a declared name is taken over, and changed to "
            "what is declared, instead of refused. From then on it is the program's, and goes with it."
        ),
    ] = False
    virt_type: Annotated[
        Literal["auto", "kvm", "qemu"],
        Field(
            description="How instances run that do not say: kvm is hardware virtualisation, qemu is emulation, "
            "auto tries kvm on the node and takes it when it really works."
        ),
    ] = "auto"
    timeouts: Annotated[Timeouts, Field(description="How long verbs may take.")] = Timeouts()
