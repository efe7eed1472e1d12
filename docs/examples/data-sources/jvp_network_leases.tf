data "jvp_network_leases" "default" {
  network = "default"
}

output "addresses_by_mac" {
  value = { for lease in data.jvp_network_leases.default.leases : lease.mac => lease.address }
}
