"""Storage as the resources use it: pools and volumes, templates, and the domains that have disks."""

from jvp.libvirt.disks import DomainDisk, detach, disk_users, resize_live
from jvp.libvirt.pools import (
    BackingFile,
    active_pool_of,
    backing_users,
    create_volume,
    delete_volume,
    find_pool,
    find_volume,
    listed,
    pool_at,
    pool_of,
    refresh,
    there,
    volume_names,
    volume_of,
)
from jvp.libvirt.templates import TemplateVolume, refuse_going, release_template, template_of, users_of

__all__ = [
    "BackingFile",
    "DomainDisk",
    "TemplateVolume",
    "active_pool_of",
    "backing_users",
    "create_volume",
    "delete_volume",
    "detach",
    "disk_users",
    "find_pool",
    "find_volume",
    "listed",
    "pool_at",
    "pool_of",
    "refresh",
    "refuse_going",
    "release_template",
    "resize_live",
    "template_of",
    "there",
    "users_of",
    "volume_names",
    "volume_of",
]
