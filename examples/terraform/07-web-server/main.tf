# A web server, and a port of the node that leads to it.
#
#   curl http://node.example:8080

terraform {
  required_providers {
    jvp = { source = "jvp.internal/jvp/jvp" }
  }
}

resource "jvp_network" "lan" {
  name = "${var.prefix}-lan"
  cidr = var.cidr
  port_forwards = [
    for port in [var.port] : { name = "web", host_port = port, to = cidrhost(var.cidr, 10), port = 80 } if port > 0
  ]
}

resource "jvp_instance" "server" {
  name     = "${var.prefix}-server"
  template = var.template
  memory   = var.memory
  nics = [{
    name     = "eth0"
    network  = jvp_network.lan.id
    address  = cidrhost(var.cidr, 10)
    hostname = "server"
  }]
  cloud_init = {
    packages = ["nginx"]
    files    = [{ path = "/var/www/html/index.html", content = "Hello from a guest\n" }]
  }
}
