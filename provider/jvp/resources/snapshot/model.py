"""What a snapshot is declared with, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from jvp.core.facts import Changes, Computed, Effect, Later, Output, Same, Unit
from jvp.core.handler import ResourceType
from jvp.core.model import Rule, Spec
from jvp.core.types import Label, Name, Reference
from jvp.core.values import known
from jvp.resources.snapshot.items import SnapshotFilters, SnapshotItem


class Kept(Spec):
    """What a snapshot keeps, and how."""

    quiesce: Annotated[
        Literal["auto", "required", "never"],
        Later(),
        Field(
            description="Whether the guest agent freezes the file systems of a running guest while the snapshot is "
            "taken: where it answers (auto), or else no snapshot is taken (required). libvirt thaws them, whatever "
            "becomes of jvp meanwhile. It counts when the snapshot is taken."
        ),
    ] = "auto"
    memory: Annotated[
        bool,
        Changes(Effect.REPLACE),
        Field(
            description="Whether the memory of the running guest is kept too, in a file beside its disks: a rollback "
            "has the guest go on from there, instead of starting it. The guest is halted while it is written."
        ),
    ] = False
    volumes: Annotated[
        list[Name] | None,
        Changes(Effect.REPLACE),
        Same(sorted),
        Field(
            description="The disks that it holds beside the root disk, by their names in `disks` of the instance: all "
            "when left out, none with an empty list."
        ),
    ] = None
    description: Annotated[Label | None, Field(description="What it is for, in your words.")] = None

    def rules(self) -> Iterator[Rule]:
        if known(self.memory, self.quiesce) and self.memory and self.quiesce == "required":
            yield ("quiesce",), "freezes file systems for the disks alone, and with memory nothing has to be frozen"
        if isinstance(self.volumes, list) and "root" in self.volumes:
            yield ("volumes",), "names disks beside the root disk, which a snapshot always holds"


class Snapshot(Kept):
    """The disks of an instance as they are at one moment, UEFI's variables, and its memory where that is wanted."""

    name: Annotated[
        Name | None,
        Changes(Effect.REPLACE),
        Computed(),
        Field(description="Unique among the instance's snapshots; made from the resource's name when left out."),
    ] = None
    instance: Annotated[
        Reference, Changes(Effect.REPLACE), Field(description="The instance, by id or name. It may run.")
    ]


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
