data "jvp_snapshot" "before" {
  snapshot = "web/before-upgrade-7"
}

output "follows" {
  value = data.jvp_snapshot.before.parent
}
