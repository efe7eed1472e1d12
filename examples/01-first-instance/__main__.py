"""A virtual machine with an address: a pool, an image, a network, data disks and the instance itself.

Every setting is in Pulumi.yaml with its default. Those without one:

    pulumi config set sshKey "$(cat ~/.ssh/id_ed25519.pub)"     who may log in
    pulumi config set imageChecksum sha512:0123abcd...          what another image than Debian's must hash to
    pulumi config set --path disks.scratch 2GiB                 one more data disk
"""

import pulumi
import pulumi_jvp as jvp

config = pulumi.Config()
prefix = config.require("prefix")
image = config.require("image")
debian = "https://cloud.debian.org/images/cloud/"
published = f"sha512:{image.rpartition('/')[0]}/SHA512SUMS" if image.startswith(debian) else None
ssh_key = config.get("sshKey")
disks: dict[str, str] = {"data": "1GiB", **(config.get_object("disks") or {})}

pool = jvp.StoragePool("pool", name=f"{prefix}-pool")

template = jvp.Template(
    "image",
    name=f"{prefix}-image",
    pool=pool.id,
    source={
        "url" if "://" in image else "path": image,
        "checksum": config.get("imageChecksum") or published,
    },
)

network = jvp.Network("network", name=f"{prefix}-net", cidr=config.require("cidr"))

volumes = {name: jvp.Volume(name, name=f"{prefix}-{name}", pool=pool.id, size=size) for name, size in disks.items()}

instance = jvp.Instance(
    "instance",
    name=f"{prefix}-vm",
    template=template.id,
    cpus=1,
    memory=config.require("memory"),
    max_memory=config.require("maxMemory"),
    nics=[{"name": "eth0", "network": network.id}],
    disks=[{"name": name, "volume": volume.id} for name, volume in volumes.items()],
    cloud_init={
        "hostname": config.require("hostname"),
        "users": [
            {
                "name": config.require("user"),
                "ssh_keys": [ssh_key] if ssh_key else [],
                "sudo": True,
            }
        ],
    },
    wait_for="ip",
    wait_timeout=config.require("waitTimeout"),
)

pulumi.export("address", instance.ip_address)
pulumi.export("instance", instance.name)
