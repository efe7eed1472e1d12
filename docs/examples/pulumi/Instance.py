import pulumi
import pulumi_jvp as jvp

data = jvp.Volume("data", pool="lab", size="10GiB")
web = jvp.Instance(
    "web",
    template="lab/debian",
    cpus=2,
    memory="1GiB",
    max_memory="4GiB",
    root_disk={"size": "20GiB"},
    disks=[{"name": "data", "volume": data.id}],
    nics=[{"name": "eth0", "network": "lan", "address": "10.20.30.20", "firewall": "web"}],
    cloud_init={
        "hostname": "web",
        "packages": ["nginx"],
        "users": [{"name": "admin", "sudo": True, "ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 you"]}],
    },
    wait_for="ip",
)
pulumi.export("address", web.ip_address)
