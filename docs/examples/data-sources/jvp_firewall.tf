data "jvp_firewall" "web" {
  firewall = "web"
}

output "behind_it" {
  value = data.jvp_firewall.web.instances
}
