# A database whose data volume outlives its instance.
#
# Another template makes the instance anew, and the volume is plugged in as it was:
#
#   tofu apply -var template=lab/debian-new

terraform {
  required_providers {
    jvp = { source = "jvp.internal/jvp/jvp" }
  }
}

resource "jvp_volume" "data" {
  name = "${var.prefix}-data"
  pool = var.pool
  size = var.size

  lifecycle {
    prevent_destroy = true
  }
}

resource "jvp_instance" "database" {
  name     = "${var.prefix}-db"
  template = var.template
  memory   = var.memory
  disks    = [{ name = "data", volume = jvp_volume.data.id, serial = "data" }]
  nics     = [{ name = "eth0", network = var.network }]
  wait_for = var.wait

  # The first boot formats an empty disk; a later one finds the file system and leaves it alone.
  cloud_init = {
    user_data = <<-END
      #cloud-config
      fs_setup: [{device: /dev/disk/by-id/virtio-data, filesystem: ext4, overwrite: false}]
      mounts: [[/dev/disk/by-id/virtio-data, /var/lib/postgresql]]
      packages: [postgresql]
    END
  }
}

output "address" {
  value = jvp_instance.database.ip_address
}
