data "jvp_instance_metrics" "web" {
  name = "web-*"
}

output "resident_bytes" {
  value = { for one in data.jvp_instance_metrics.web.instances : one.name => one.resident_bytes }
}
