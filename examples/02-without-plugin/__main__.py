"""The first example in the dynamic form: no plugin and no line for one in Pulumi.yaml, only the Python package.

The program is the same; its import is another one. `pulumi install --no-plugins` installs it, for Pulumi else looks for
the plugin that the package names. Settings as in the first example:

    pulumi config set sshKey "$(cat ~/.ssh/id_ed25519.pub)"     who may log in
    pulumi config set jvp:uri qemu+ssh://root@host/system       another node than this one
"""

import pulumi

from jvp import dynamic as jvp

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
