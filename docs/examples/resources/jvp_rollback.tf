# With another word the guest goes back to the snapshot, and what was written since is lost.
resource "jvp_rollback" "upgrade_failed" {
  snapshot = jvp_snapshot.before_upgrade.id
  triggers = {
    tried = "1"
  }
}
