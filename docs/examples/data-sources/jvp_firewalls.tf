data "jvp_firewalls" "ours" {
  ours = true
}

output "firewalls" {
  value = data.jvp_firewalls.ours.firewalls[*].name
}
