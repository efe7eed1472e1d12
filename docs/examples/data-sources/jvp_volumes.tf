data "jvp_volumes" "unused" {
  pool     = "default"
  attached = false
}

output "unused" {
  value = data.jvp_volumes.unused.volumes[*].name
}
