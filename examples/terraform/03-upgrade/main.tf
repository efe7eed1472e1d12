# A snapshot before an upgrade, and back to it when that failed.
#
#   export TF_VAR_ssh_key="$(cat ~/.ssh/id_ed25519.pub)"
#   tofu apply
#   ssh admin@$(tofu output -raw address) 'sudo apt-get -y full-upgrade' || tofu apply -var failed=1
#
# The second failure is `failed=2`. Once all is well, take the snapshot and the rollback out: what it kept is merged.

terraform {
  required_providers {
    jvp = { source = "jvp.internal/jvp/jvp" }
  }
}

resource "jvp_instance" "web" {
  name     = "${var.prefix}-web"
  template = var.template
  memory   = var.memory
  nics     = [{ name = "eth0", network = var.network }]
  wait_for = var.wait
  cloud_init = {
    users = [{ name = "admin", ssh_keys = compact([var.ssh_key]), sudo = true }]
  }
}

resource "jvp_snapshot" "before" {
  name     = "before-upgrade"
  instance = jvp_instance.web.id
}

resource "jvp_rollback" "back" {
  count = var.failed == null ? 0 : 1

  snapshot = jvp_snapshot.before.id
  triggers = { failed = var.failed }
}

output "address" {
  value = jvp_instance.web.ip_address
}
