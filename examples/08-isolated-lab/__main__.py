"""An isolated lab behind a firewall: guests reach each other's web server, and nobody else anything.

Rules change while the guests run: edit them, and `pulumi up`.
"""

import pulumi
import pulumi_jvp as jvp

config = pulumi.Config()
prefix = config.require("prefix")
cidr = config.require("cidr")

lab = jvp.Network("lab", name=f"{prefix}-lab", mode="isolated", cidr=cidr)

inside = jvp.Firewall(
    "inside",
    name=f"{prefix}-inside",
    outbound="drop",
    rules=[
        {"name": "web", "protocol": "tcp", "ports": ["80"], "cidr": cidr},
        {"name": "each-other", "direction": "out", "cidr": cidr},
        {"name": "dhcp", "direction": "out", "protocol": "udp", "ports": ["67"]},
    ],
)

for name in ("one", "two"):
    jvp.Instance(
        name,
        name=f"{prefix}-{name}",
        template=config.require("template"),
        memory=config.require("memory"),
        nics=[{"name": "eth0", "network": lab.id, "firewall": inside.id}],
    )
