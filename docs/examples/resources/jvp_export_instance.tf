# The root disk of an instance that is off.
resource "jvp_export_instance" "web" {
  instance = jvp_instance.web.id
  path     = "${path.root}/web.qcow2"
  format   = "qcow2"
}
