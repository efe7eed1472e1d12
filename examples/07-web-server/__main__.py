"""A web server, and a port of the node that leads to it.

curl http://node.example:8080
"""

import ipaddress

import pulumi
import pulumi_jvp as jvp

config = pulumi.Config()
prefix = config.require("prefix")
port = config.require_int("port")
cidr = config.require("cidr")
address = str(ipaddress.ip_network(cidr)[10])

lan = jvp.Network(
    "lan",
    name=f"{prefix}-lan",
    cidr=cidr,
    port_forwards=[{"name": "web", "host_port": port, "to": address, "port": 80}] if port else [],
)
jvp.Instance(
    "server",
    name=f"{prefix}-server",
    template=config.require("template"),
    memory=config.require("memory"),
    nics=[{"name": "eth0", "network": lan.id, "address": address, "hostname": "server"}],
    cloud_init={
        "packages": ["nginx"],
        "files": [{"path": "/var/www/html/index.html", "content": "Hello from a guest\n"}],
    },
)
