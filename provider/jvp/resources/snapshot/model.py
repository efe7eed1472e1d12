"""What a snapshot is declared with, and what is known of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jvp.core.facts import Changes, Computed, Effect, Later, Output, Unit
from jvp.core.handler import ResourceType
from jvp.core.model import Spec
from jvp.core.types import Label, Name, Reference
from jvp.resources.snapshot.items import SnapshotFilters, SnapshotItem


class Snapshot(Spec):
    """All disks of an instance as they are at one moment, with UEFI's variables. Its memory is not kept."""

    name: Annotated[
        Name | None,
        Changes(Effect.REPLACE),
        Computed(),
        Field(description="Unique among the instance's snapshots; made from the resource's name when left out."),
    ] = None
    instance: Annotated[
        Reference, Changes(Effect.REPLACE), Field(description="The instance, by id or name. It may run.")
    ]
    quiesce: Annotated[
        Literal["auto", "required", "never"],
        Later(),
        Field(
            description="Whether the guest agent freezes the file systems of a running guest while the snapshot is "
            "taken: where it answers (auto), or else no snapshot is taken (required). libvirt thaws them, whatever "
            "becomes of jvp meanwhile. It counts when the snapshot is taken."
        ),
    ] = "auto"
    description: Annotated[Label | None, Field(description="What it is for, in your words.")] = None


_CHANGES = ("description", "quiesce")
"""Whatever else may have moved is read with a change of these."""


class SnapshotState(Snapshot):
    """A snapshot as it is."""

    created_at: Annotated[str | None, Output(), Field(description="When it was taken, UTC.")] = None
    instance_id: Annotated[str | None, Output(), Field(description="The id of the instance.")] = None
    instance_name: Annotated[
        str | None, Output(follows=_CHANGES), Field(description="The name of the instance; unset once it is gone.")
    ] = None
    parent: Annotated[
        str | None,
        Output(follows=_CHANGES),
        Field(description="The snapshot that it follows; unset for the first one."),
    ] = None
    disks: Annotated[
        list[str], Output(), Field(description="The disks that it holds, by name; the root disk is called root.")
    ] = []
    size_bytes: Annotated[
        int | None, Output(), Unit("bytes"), Field(description="What the guest saw of its disks then, all together.")
    ] = None
    allocation_bytes: Annotated[
        int | None,
        Output(follows=_CHANGES),
        Unit("bytes"),
        Field(description="What the files take of their pools that it holds, without those of earlier snapshots."),
    ] = None
    quiesced: Annotated[
        bool | None, Output(), Field(description="Whether the guest's file systems were frozen for it.")
    ] = None
    pool_uuid: Annotated[str | None, Output(), Field(description="The pool in which its record is kept.")] = None
    nonce: Annotated[
        str | None, Output(), Field(description="Tells this snapshot from a later one of the same name.")
    ] = None


class SnapshotType(ResourceType[Snapshot, SnapshotState]):
    """Snapshots."""

    kind, token, spec, state = "snapshot", "Snapshot", Snapshot, SnapshotState
    filters, item, within = SnapshotFilters, SnapshotItem, "instance"
