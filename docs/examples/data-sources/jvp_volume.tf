data "jvp_volume" "shared" {
  volume = "default/shared.qcow2"
}

output "users_of_shared" {
  value = data.jvp_volume.shared.attached_to
}
