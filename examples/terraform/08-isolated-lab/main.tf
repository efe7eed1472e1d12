# An isolated lab behind a firewall: guests reach each other's web server, and nobody else anything.
#
# Rules change while the guests run: edit them, and `tofu apply`.

terraform {
  required_providers {
    jvp = { source = "jvp.internal/jvp/jvp" }
  }
}

resource "jvp_network" "lab" {
  name = "${var.prefix}-lab"
  mode = "isolated"
  cidr = var.cidr
}

resource "jvp_firewall" "inside" {
  name     = "${var.prefix}-inside"
  outbound = "drop"
  rules = [
    { name = "web", protocol = "tcp", ports = ["80"], cidr = var.cidr },
    { name = "each-other", direction = "out", cidr = var.cidr },
    { name = "dhcp", direction = "out", protocol = "udp", ports = ["67"] },
  ]

  lifecycle {
    create_before_destroy = true
  }
}

resource "jvp_instance" "guest" {
  for_each = toset(["one", "two"])

  name     = "${var.prefix}-${each.key}"
  template = var.template
  memory   = var.memory
  nics     = [{ name = "eth0", network = jvp_network.lab.id, firewall = jvp_firewall.inside.id }]
}
