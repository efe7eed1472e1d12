import pulumi
import pulumi_jvp as jvp

pool = jvp.StoragePool("pool")
image = jvp.Template(
    "debian",
    pool=pool.id,
    source={
        "url": "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2",
        "checksum": "sha512:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS",
    },
)
network = jvp.Network("lan", cidr="10.20.30.0/24")
web = jvp.Instance(
    "web",
    template=image.id,
    memory="1GiB",
    nics=[{"name": "eth0", "network": network.id}],
    cloud_init={
        "users": [{"name": "admin", "ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 you"], "sudo": True}]
    },
    wait_for="ip",
)
pulumi.export("address", web.ip_address)
