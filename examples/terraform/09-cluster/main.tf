# Three nodes with fixed addresses and names, a load balancer before them, and the way in.
#
#   curl http://node.example:8080
#
# The port of the node leads to the balancer, which knows the nodes by their addresses. Guests find each other by name.

terraform {
  required_providers {
    jvp = { source = "jvp.internal/jvp/jvp" }
  }
}

locals {
  guests = { balancer = 10, node1 = 11, node2 = 12, node3 = 13 }

  balancer = <<-EOT
    frontend web
      mode tcp
      bind :80
      default_backend nodes
    backend nodes
      mode tcp
      server node1 ${cidrhost(var.cidr, 11)}:80 check
      server node2 ${cidrhost(var.cidr, 12)}:80 check
      server node3 ${cidrhost(var.cidr, 13)}:80 check
  EOT
}

resource "jvp_network" "lan" {
  name   = "${var.prefix}-lan"
  cidr   = var.cidr
  domain = "cluster.example"
  port_forwards = [
    for port in [var.port] : { name = "web", host_port = port, to = cidrhost(var.cidr, 10), port = 80 } if port > 0
  ]
}

resource "jvp_instance" "guest" {
  for_each = local.guests

  name     = "${var.prefix}-${each.key}"
  template = var.template
  memory   = var.memory
  nics = [{
    name     = "eth0"
    network  = jvp_network.lan.id
    address  = cidrhost(var.cidr, each.value)
    hostname = each.key
  }]
  cloud_init = {
    packages = [each.key == "balancer" ? "haproxy" : "nginx"]
    files    = each.key == "balancer" ? [{ path = "/etc/haproxy/haproxy.cfg", content = local.balancer }] : []
  }
}
