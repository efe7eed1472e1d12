"""Guests with IPv4 and IPv6, both behind the node's addresses.

The database has a fixed address of each. Its IPv6 one goes by the host name that it gives to DHCPv6.
"""

import ipaddress

import pulumi
import pulumi_jvp as jvp

BOTH = """\
version: 2
ethernets:
  any:
    match: {name: "en*"}
    dhcp4: true
    dhcp6: true
"""

config = pulumi.Config()
prefix = config.require("prefix")
four, six = (ipaddress.ip_network(config.require(name)) for name in ("cidr", "cidr6"))

lan = jvp.Network(
    "lan",
    name=f"{prefix}-lan",
    cidr=str(four),
    domain="dual.example",
    ipv6={
        "cidr": str(six),
        "dhcp": {"enabled": True},
        "reservations": [{"name": "db", "address": str(six[16])}],
    },
)
for name, address in (("db", str(four[16])), ("app", str(four[17]))):
    jvp.Instance(
        name,
        name=f"{prefix}-{name}",
        template=config.require("template"),
        memory=config.require("memory"),
        nics=[{"name": "eth0", "network": lan.id, "address": address, "hostname": name}],
        cloud_init={"hostname": name, "network_config": BOTH},
    )
