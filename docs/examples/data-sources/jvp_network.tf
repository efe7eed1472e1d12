data "jvp_network" "default" {
  network = "default"
}

output "guests_of_default" {
  value = data.jvp_network.default.instances
}
