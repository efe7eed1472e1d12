# A guest on a bridge of the node, in a VLAN: it has its address from the world around, as the node has.
#
# The node has a bridge for each VLAN, on its interface for it:
#
#   ip link add link eth0 name eth0.42 type vlan id 42
#   ip link add br42 type bridge
#   ip link set eth0.42 master br42
#   ip link set eth0.42 up
#   ip link set br42 up
#
# On Open vSwitch one bridge has them all: `virtual_port = "openvswitch"` and `vlan = 42` of the network.

terraform {
  required_providers {
    jvp = { source = "jvp.internal/jvp/jvp" }
  }
}

resource "jvp_network" "office" {
  name   = "${var.prefix}-office"
  mode   = "bridge"
  bridge = var.bridge
}

resource "jvp_instance" "printer" {
  name     = "${var.prefix}-printer"
  template = var.template
  memory   = var.memory
  nics     = [{ name = "eth0", network = jvp_network.office.id }]
}
