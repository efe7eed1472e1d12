data "jvp_networks" "not_ours" {
  ours = false
}

output "not_ours" {
  value = data.jvp_networks.not_ours.networks[*].name
}
