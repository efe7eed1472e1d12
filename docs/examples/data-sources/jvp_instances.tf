data "jvp_instances" "web" {
  name    = "web-*"
  state   = "running"
  details = true
}

output "web_addresses" {
  value = { for one in data.jvp_instances.web.instances : one.name => one.ip_address }
}
