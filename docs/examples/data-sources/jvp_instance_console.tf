data "jvp_instance_console" "gateway" {
  instance = "gateway"
}

output "terminals" {
  value = [for one in data.jvp_instance_console.gateway.texts : one.path]
}
