data "jvp_instance_screenshot" "gateway" {
  instance = "gateway"
}

output "gateway_has_screen" {
  value = data.jvp_instance_screenshot.gateway.png != null
}
