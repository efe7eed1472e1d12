"""A golden image and what is made from it, in one program: boot, provision, snapshot, template, fleet.

The agent comes last: once it answers, the image is done.
"""

import pulumi
import pulumi_jvp as jvp

config = pulumi.Config()
prefix = config.require("prefix")
memory = config.require("memory")
nics = [{"name": "eth0", "network": config.require("network")}]

PROVISION = """#cloud-config
runcmd:
- apt-get update && apt-get -y install nginx && truncate -s 0 /etc/machine-id
- apt-get -y install qemu-guest-agent && systemctl start qemu-guest-agent
"""

builder = jvp.Instance(
    "builder",
    name=f"{prefix}-builder",
    template=config.require("template"),
    memory=memory,
    nics=nics,
    cloud_init={"user_data": PROVISION},
    wait_for=config.require("wait"),
    wait_timeout="15m",
)

snapshot = jvp.Snapshot("built", name="v1", instance=builder.id)

golden = jvp.Template("golden", name=f"{prefix}-golden", pool=config.require("pool"), source={"snapshot": snapshot.id})

fleet = [
    jvp.Instance(
        name,
        name=f"{prefix}-{name}",
        template=golden.id,
        memory=memory,
        nics=nics,
        cloud_init={"hostname": name},
    )
    for name in ("web1", "web2", "web3")
]

pulumi.export("fleet", [instance.name for instance in fleet])
