"""Folders of the node that a guest shares, as a program declares them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from jvp.core.facts import Changes, Effect
from jvp.core.model import Rule, Spec
from jvp.core.types import NodePath
from jvp.core.values import known
from jvp.resources.instance.disk_model import DeviceName

TAG_MAX = 31
"""In 9p; virtiofs takes a few more. Source: QEMU, MAX_TAG_LEN."""


class Filesystem(Spec):
    """A folder of the node. Its order in the list never matters."""

    key: ClassVar[str] = "tag"
    tag: Annotated[
        DeviceName,
        Field(description="What the guest mounts it by: mount -t virtiofs TAG /mnt. It stays with the item."),
    ]
    source: Annotated[NodePath, Field(description="The folder's path on the node.")]
    driver: Annotated[
        Literal["virtiofs", "9p"],
        Field(description="virtiofs (a process of virtiofsd on the node), or 9p, which QEMU does by itself."),
    ] = "virtiofs"
    read_only: Annotated[bool, Field(description="Whether the guest may only read it; with 9p alone.")] = False
    access_mode: Annotated[
        Literal["passthrough", "mapped", "squash"],
        Field(
            description="Whose files are that the guest makes: passthrough, those of the user that the guest says; "
            "mapped, QEMU's, with the guest's owners noted beside; squash, as passthrough without telling failures. "
            "With virtiofs passthrough alone."
        ),
    ] = "passthrough"


class Filesystems(Spec):
    """The property."""

    filesystems: Annotated[
        list[Filesystem],
        Changes(Effect.NEXT_BOOT),
        Field(
            description="Folders of the node that the guest mounts. One of virtiofs needs memory that is shared "
            "(memoryBacking), and its guest is not migrated, and takes no snapshot with memory."
        ),
    ] = []


def filesystem_rules(given: Any, backing: Any) -> Iterator[Rule]:
    """What is wrong with them, as far as no node is needed to tell."""
    for index, one in enumerate(given if isinstance(given, list) else []):
        if not isinstance(one, Filesystem):
            continue
        if known(one.tag) and len(one.tag) > TAG_MAX:
            yield ("filesystems", index, "tag"), f"is {len(one.tag)} characters long; at most {TAG_MAX} are allowed"
        if not known(one.driver) or one.driver != "virtiofs":
            continue
        if known(one.read_only) and one.read_only:
            yield ("filesystems", index, "readOnly"), 'needs driver "9p": virtiofs shares a folder for writing'
        if known(one.access_mode) and one.access_mode != "passthrough":
            yield ("filesystems", index, "accessMode"), 'needs driver "9p"'
        if known(backing) and (backing is None or backing.shared is False):
            yield ("filesystems", index, "driver"), "virtiofs needs memoryBacking.shared: true; 9p does not"
