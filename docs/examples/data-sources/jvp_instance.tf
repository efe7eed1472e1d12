data "jvp_instance" "gateway" {
  instance = "gateway"
}

output "gateway_address" {
  value = data.jvp_instance.gateway.ip_address
}
