output "addresses" {
  description = "The guests' addresses by name"
  value       = { for name, guest in module.guest : name => guest.address }
}

output "connected" {
  description = "Who is on the network"
  value       = sort(data.jvp_network.connected.instances)
}

output "node" {
  description = "Where they run"
  value       = data.jvp_node.here.hostname
}
