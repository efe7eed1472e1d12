# What the instance had then, while it runs on.
resource "jvp_export_snapshot" "before_upgrade" {
  snapshot = jvp_snapshot.before_upgrade.id
  disk     = "data"
  path     = "${path.root}/data-then.qcow2"
}
