# Taken once: change the number for another one.
resource "jvp_snapshot" "before_upgrade" {
  name        = "before-upgrade-7"
  instance    = jvp_instance.web.id
  quiesce     = "auto"
  volumes     = ["data"]
  description = "before the upgrade to 7"
}
