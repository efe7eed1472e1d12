# Guests with IPv4 and IPv6, both behind the node's addresses.
#
# The database has a fixed address of each. Its IPv6 one goes by the host name that it gives to DHCPv6.

terraform {
  required_providers {
    jvp = { source = "jvp.internal/jvp/jvp" }
  }
}

resource "jvp_network" "lan" {
  name   = "${var.prefix}-lan"
  cidr   = var.cidr
  domain = "dual.example"
  ipv6 = {
    cidr         = var.cidr6
    dhcp         = { enabled = true }
    reservations = [{ name = "db", address = cidrhost(var.cidr6, 16) }]
  }
}

resource "jvp_instance" "guest" {
  for_each = { db = 16, app = 17 }

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
    hostname = each.key
    network_config = yamlencode({
      version   = 2
      ethernets = { any = { match = { name = "en*" }, dhcp4 = true, dhcp6 = true } }
    })
  }
}
