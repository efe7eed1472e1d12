# Empty, to be formatted by the guest.
resource "jvp_volume" "data" {
  name = "data"
  pool = jvp_storage_pool.lab.id
  size = "10GiB"
}

# A copy of its own of an image.
resource "jvp_volume" "rescue" {
  name       = "rescue"
  pool       = jvp_storage_pool.lab.id
  template   = jvp_template.debian.id
  full_clone = true
}
