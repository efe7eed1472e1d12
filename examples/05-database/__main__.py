"""A database whose data volume outlives its instance.

Another template makes the instance anew, and the volume is plugged in as it was:

    pulumi config set template lab/debian-new && pulumi up

The volume is protected: nothing deletes it before `pulumi state unprotect`.
"""

import pulumi
import pulumi_jvp as jvp

config = pulumi.Config()
prefix = config.require("prefix")

data = jvp.Volume(
    "data",
    name=f"{prefix}-data",
    pool=config.require("pool"),
    size=config.require("size"),
    opts=pulumi.ResourceOptions(protect=True),
)

database = jvp.Instance(
    "database",
    name=f"{prefix}-db",
    template=config.require("template"),
    memory=config.require("memory"),
    disks=[{"name": "data", "volume": data.id, "serial": "data"}],
    nics=[{"name": "eth0", "network": config.require("network")}],
    # The first boot formats an empty disk; a later one finds the file system and leaves it alone.
    cloud_init={
        "user_data": """#cloud-config
fs_setup: [{device: /dev/disk/by-id/virtio-data, filesystem: ext4, overwrite: false}]
mounts: [[/dev/disk/by-id/virtio-data, /var/lib/postgresql]]
packages: [postgresql]
"""
    },
    wait_for=config.require("wait"),
)

pulumi.export("address", database.ip_address)
