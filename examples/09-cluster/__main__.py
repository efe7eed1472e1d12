"""Three nodes with fixed addresses and names, a load balancer before them, and the way in.

    curl http://node.example:8080

The port of the node leads to the balancer, which knows the nodes by their addresses. Guests find each other by name.
"""

import ipaddress

import pulumi
import pulumi_jvp as jvp

config = pulumi.Config()
prefix = config.require("prefix")
port = config.require_int("port")
cidr = config.require("cidr")
at = ipaddress.ip_network(cidr)

BALANCER = f"""\
frontend web
  mode tcp
  bind :80
  default_backend nodes
backend nodes
  mode tcp
  server node1 {at[11]}:80 check
  server node2 {at[12]}:80 check
  server node3 {at[13]}:80 check
"""

lan = jvp.Network(
    "lan",
    name=f"{prefix}-lan",
    cidr=cidr,
    domain="cluster.example",
    port_forwards=[{"name": "web", "host_port": port, "to": str(at[10]), "port": 80}] if port else [],
)


def guest(name: str, number: int, cloud_init: dict) -> None:
    jvp.Instance(
        name,
        name=f"{prefix}-{name}",
        template=config.require("template"),
        memory=config.require("memory"),
        nics=[{"name": "eth0", "network": lan.id, "address": str(at[number]), "hostname": name}],
        cloud_init=cloud_init,
    )


balancer = [{"path": "/etc/haproxy/haproxy.cfg", "content": BALANCER}]
guest("balancer", 10, {"files": balancer, "packages": ["haproxy"]})
for node in (1, 2, 3):
    guest(f"node{node}", 10 + node, {"packages": ["nginx"]})
