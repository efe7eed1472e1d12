# A copy beside the module, made anew for each release.
resource "jvp_export_volume" "data" {
  volume    = jvp_volume.data.id
  path      = "${path.root}/data.qcow2"
  overwrite = true
  triggers = {
    release = "7"
  }
}
