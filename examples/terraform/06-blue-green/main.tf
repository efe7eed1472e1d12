# Ten instances, five blue and five green. One colour runs; the other one is off until it is made from something newer.
#
#   tofu apply -var green=lab/debian-new                   # the green ones are made anew; the blue ones run on
#   tofu apply -var green=lab/debian-new -var live=green   # and back by `live=blue`

terraform {
  required_providers {
    jvp = { source = "jvp.internal/jvp/jvp" }
  }
}

locals {
  templates = { blue = var.blue, green = var.green }
  instances = { for pair in setproduct(["blue", "green"], range(1, 6)) : "${pair[0]}${pair[1]}" => pair[0] }
}

resource "jvp_instance" "shop" {
  for_each = local.instances

  name        = "${var.prefix}-${each.key}"
  template    = local.templates[each.value]
  memory      = var.memory
  nics        = [{ name = "eth0", network = var.network }]
  power_state = each.value == var.live ? "running" : "stopped"
}
