"""A snapshot before an upgrade, and back to it when that failed.

    pulumi config set sshKey "$(cat ~/.ssh/id_ed25519.pub)" && pulumi up
    ssh admin@$(pulumi stack output address) 'sudo apt-get -y full-upgrade' ||
        { pulumi config set failed 1 && pulumi up; }

The second failure is `failed 2`. Once all is well, take the snapshot and the rollback out: what it kept is merged.
"""

import pulumi
import pulumi_jvp as jvp

config = pulumi.Config()
prefix = config.require("prefix")
ssh_key = config.get("sshKey")
failed = config.get("failed")

web = jvp.Instance(
    "web",
    name=f"{prefix}-web",
    template=config.require("template"),
    memory=config.require("memory"),
    nics=[{"name": "eth0", "network": config.require("network")}],
    cloud_init={"users": [{"name": "admin", "ssh_keys": [ssh_key] if ssh_key else [], "sudo": True}]},
    wait_for=config.require("wait"),
)

before = jvp.Snapshot("before", name="before-upgrade", instance=web.id)

if failed:
    jvp.Rollback("back", snapshot=before.id, triggers={"failed": failed})

pulumi.export("address", web.ip_address)
