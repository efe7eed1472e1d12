# A virtual machine with an address: a pool, an image, a network, data disks and the instance itself.
#
#   tofu apply -var ssh_key="$(cat ~/.ssh/id_ed25519.pub)"
#
# Every variable has a default; see variables.tf.

terraform {
  required_providers {
    jvp = { source = "jvp.internal/jvp/jvp" }
  }
}

provider "jvp" {}

locals {
  debian    = startswith(var.image, "https://cloud.debian.org/images/cloud/")
  published = local.debian ? "sha512:${dirname(var.image)}/SHA512SUMS" : null
}

resource "jvp_storage_pool" "pool" {
  name = "${var.prefix}-pool"
}

resource "jvp_template" "image" {
  name = "${var.prefix}-image"
  pool = jvp_storage_pool.pool.id
  source = {
    url      = strcontains(var.image, "://") ? var.image : null
    path     = strcontains(var.image, "://") ? null : var.image
    checksum = var.image_checksum != null ? var.image_checksum : local.published
  }
}

resource "jvp_network" "network" {
  name = "${var.prefix}-net"
  cidr = var.cidr
}

resource "jvp_volume" "disk" {
  for_each = var.disks

  name = "${var.prefix}-${each.key}"
  pool = jvp_storage_pool.pool.id
  size = each.value
}

resource "jvp_instance" "instance" {
  name       = "${var.prefix}-vm"
  template   = jvp_template.image.id
  cpus       = 1
  memory     = var.memory
  max_memory = var.max_memory
  nics       = [{ name = "eth0", network = jvp_network.network.id }]
  disks      = [for name, volume in jvp_volume.disk : { name = name, volume = volume.id }]
  cloud_init = {
    hostname = var.hostname
    users = [{
      name     = var.user
      ssh_keys = var.ssh_key == null ? [] : [var.ssh_key]
      sudo     = true
    }]
  }
  wait_for     = "ip"
  wait_timeout = var.wait_timeout
}

output "address" {
  value = jvp_instance.instance.ip_address
}

output "instance" {
  value = jvp_instance.instance.name
}
