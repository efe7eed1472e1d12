# The oldest first, also those of virsh.
data "jvp_snapshots" "web" {
  instance = "web"
  details  = true
}

output "snapshots" {
  value = { for one in data.jvp_snapshots.web.snapshots : one.name => one.created_at }
}
