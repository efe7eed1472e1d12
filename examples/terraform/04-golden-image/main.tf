# A golden image and what is made from it, in one program: boot, provision, snapshot, template, fleet.

terraform {
  required_providers {
    jvp = { source = "jvp.internal/jvp/jvp" }
  }
}

locals {
  nics = [{ name = "eth0", network = var.network }]
}

# The agent comes last: once it answers, the image is done.
resource "jvp_instance" "builder" {
  name         = "${var.prefix}-builder"
  template     = var.template
  memory       = var.memory
  nics         = local.nics
  wait_for     = var.wait
  wait_timeout = "15m"
  cloud_init = {
    user_data = <<-END
      #cloud-config
      runcmd:
      - apt-get update && apt-get -y install nginx && truncate -s 0 /etc/machine-id
      - apt-get -y install qemu-guest-agent && systemctl start qemu-guest-agent
    END
  }
}

resource "jvp_snapshot" "built" {
  name     = "v1"
  instance = jvp_instance.builder.id
}

resource "jvp_template" "golden" {
  name   = "${var.prefix}-golden"
  pool   = var.pool
  source = { snapshot = jvp_snapshot.built.id }
}

resource "jvp_instance" "web" {
  for_each = toset(["web1", "web2", "web3"])

  name     = "${var.prefix}-${each.key}"
  template = jvp_template.golden.id
  memory   = var.memory
  nics     = local.nics

  cloud_init = { hostname = each.key }
}
