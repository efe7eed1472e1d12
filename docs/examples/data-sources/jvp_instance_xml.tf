data "jvp_instance_xml" "gateway" {
  instance = "gateway"
}

output "gateway_machine" {
  value = regex("machine='([^']*)'", data.jvp_instance_xml.gateway.persistent)[0]
}
