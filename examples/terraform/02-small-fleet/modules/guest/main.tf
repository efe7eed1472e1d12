# One guest with a root disk from a template, and a data disk where one is asked for.

terraform {
  required_providers {
    jvp = { source = "jvp.internal/jvp/jvp" }
  }
}

variable "name" {}
variable "pool" {}
variable "template" {}
variable "network" {}
variable "memory" {}
variable "wait_for" {}

variable "data" {
  description = "The data disk's size; null for none"
  type        = string
  default     = null
}

resource "jvp_volume" "data" {
  count = var.data == null ? 0 : 1

  name = "${var.name}-data"
  pool = var.pool
  size = var.data
}

resource "jvp_instance" "guest" {
  name     = var.name
  template = var.template
  memory   = var.memory
  nics     = [{ name = "eth0", network = var.network }]
  disks    = [for volume in jvp_volume.data : { name = "data", volume = volume.id }]
  wait_for = var.wait_for

  timeouts = { create = "15m" }
}

output "address" {
  value = jvp_instance.guest.ip_address
}

output "id" {
  value = jvp_instance.guest.id
}
