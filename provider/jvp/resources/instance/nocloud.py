"""The cloud-init disk of an instance: what stands on it, and whether the one that is there is what was written."""

from __future__ import annotations

import hashlib
import secrets

from jvp.core.values import reveal
from jvp.core.work import Work
from jvp.images import userdata
from jvp.images.cloudconfig import File as ConfigFile
from jvp.images.cloudconfig import cloud_config
from jvp.images.seed import build_seed
from jvp.libvirt.domain import devices, disk_source
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, number
from jvp.libvirt.node_view import View
from jvp.libvirt.storage import kinds
from jvp.libvirt.storage.lookup import create_volume, delete_volume, find_volume, pool_at
from jvp.libvirt.storage.streams import read_small, write_small
from jvp.resources.instance.cloudinit import CloudInit, File
from jvp.resources.instance.definition import SEED_ALIAS, DiskSource, source_of
from jvp.resources.instance.storage import seed_name

STALE = "staleseed"
"""A fact of the mark: the cloud-init disk is of an earlier try, before the program changed."""
_SALT_BYTES = 480
_SEAL_BYTES = 32
_SEED_BYTES = 128 * 1024
"""BusyBox does not recognise a smaller disk: its findfs looks for other filesystems at 64 KiB first (tried)."""


def image_of(uuid: str, name: str, cloud_init: CloudInit) -> bytes:
    """The NoCloud disk as it is written. Its last sector seals the rest, so that a later plan can tell whether it is
    still what was written: salt, and the digest of all before.

    On the disk itself, because the definition may be another run's of the same key: whoever writes last, the two agree.
    """
    image = content_of(uuid, name, cloud_init) + secrets.token_bytes(_SALT_BYTES)
    return image + hashlib.sha256(image).digest()


def is_sealed(disk: bytes) -> bool:
    """Whether a cloud-init disk is as it was written."""
    return hashlib.sha256(disk[:-_SEAL_BYTES]).digest() == disk[-_SEAL_BYTES:]


def write(work: Work, node: Node, pool: handles.StoragePool, uuid: str, image: bytes) -> None:
    """Write the NoCloud disk; one that is there is replaced. Mode 0600, because user data is secret."""
    stale = find_volume(pool, seed_name(uuid))
    if stale is not None:
        delete_volume(stale)
    volume = create_volume(
        work, node, pool, seed_name(uuid), capacity=len(image), format="raw", mode="0600", allocated=True
    )
    write_small(node.connection, volume, image)


def is_other(view: View, path: str) -> bool:
    """Whether the seed at `path` is gone, or not as it was written. No while its pool cannot be asked.

    Not what its properties make is compared: a program may have forgotten its passwords.
    """
    found = view.volume(path)
    if found is None:
        return pool_at(view.node, kinds.folder_of(path)) is not None
    return not is_sealed(read_small(view.node.connection, found.volume, number(found.root, "capacity") or 0))


def source_in(root: Element) -> DiskSource | None:
    """The cloud-init disk of a definition."""
    device = next((one for one in root.iterfind("devices/disk") if devices.alias_of(one) == SEED_ALIAS), None)
    path = source_of(device) if device is not None else None
    return DiskSource(path, "raw", device.get("type") or disk_source.FILE) if device is not None and path else None


def disown_old(api: DomainApi, domain: handles.Domain, uuid: str, name: str, cloud_init: CloudInit) -> None:
    """Have the next plan write the disk anew, when the program has changed since the try that made it."""
    root = devices.inactive_xml(domain)
    seed = source_in(root)
    found = View(api.node).volume(seed.path) if seed is not None else None
    wanted = content_of(uuid, name, cloud_init)
    if found is not None and read_small(api.node.connection, found.volume, len(wanted)) != wanted:
        marks.set_fact(root, STALE, "yes")
        api.define(root)


def content_of(uuid: str, name: str, cloud_init: CloudInit) -> bytes:
    """The NoCloud image. The instance-id stays for the instance's life: a new one would run every module again."""
    hostname = cloud_init.hostname or name.replace("_", "-").replace("+", "-").replace(".", "-")
    if cloud_init.user_data is not None:
        user_data = userdata.as_written(reveal(cloud_init.user_data))
    else:
        user_data = cloud_config(
            users=[reveal(user.bag()) for user in cloud_init.users],
            ssh_keys=cloud_init.ssh_keys,
            packages=cloud_init.packages,
            files=[_file(file) for file in cloud_init.files],
            run=reveal(cloud_init.run_commands) or [],
        ).encode()
    meta = {**cloud_init.meta_data, "instance-id": uuid, "local-hostname": hostname}
    vendor = reveal(cloud_init.vendor_data)
    network = reveal(cloud_init.network_config)
    if network is not None:
        network = userdata.without_mark(network)
    vendor_data = None if vendor is None else userdata.as_written(vendor)
    return build_seed(meta, user_data, network, vendor_data).ljust(_SEED_BYTES, b"\0")


def _file(file: File) -> ConfigFile:
    return {"path": file.path, "content": reveal(file.content), "mode": file.permissions, "owner": file.owner}
