# A few guests of one kind on a network of their own: modules, for_each, data sources, import and moved blocks.
#
#   tofu apply -var 'guests={web={memory="512MiB"}, db={memory="1GiB", data="20GiB"}}'

terraform {
  required_version = ">= 1.7"
  required_providers {
    jvp = { source = "jvp.internal/jvp/jvp" }
  }
}

provider "jvp" {}

# What the node is, before anything is made on it.
data "jvp_node" "here" {}

resource "jvp_storage_pool" "pool" {
  name = "${var.prefix}-pool"
}

resource "jvp_template" "image" {
  name   = "${var.prefix}-image"
  pool   = jvp_storage_pool.pool.id
  source = startswith(var.image, "/") ? { path = var.image } : { url = var.image, checksum = var.image_checksum }
}

resource "jvp_network" "lan" {
  name   = "${var.prefix}-lan"
  cidr   = var.cidr
  domain = "${var.prefix}.example"
}

module "guest" {
  source   = "./modules/guest"
  for_each = var.guests

  name     = "${var.prefix}-${each.key}"
  pool     = jvp_storage_pool.pool.id
  template = jvp_template.image.id
  network  = jvp_network.lan.id
  memory   = each.value.memory
  data     = each.value.data
  wait_for = var.wait_for
}

# Asked once the guests are there, so that it knows who is on the network.
data "jvp_network" "connected" {
  network    = jvp_network.lan.id
  depends_on = [module.guest]
}

# A pool that somebody made by hand comes under management, and stays as it is.
import {
  for_each = var.adopted_pools
  to       = jvp_storage_pool.adopted[each.key]
  id       = each.key
}

resource "jvp_storage_pool" "adopted" {
  for_each = var.adopted_pools

  name = each.key
  path = each.value
}

# An earlier version of this configuration called the network so. Nothing is made anew for another name here.
moved {
  from = jvp_network.network
  to   = jvp_network.lan
}
