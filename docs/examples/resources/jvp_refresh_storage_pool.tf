# Another program has written files into the pool's folder.
resource "jvp_refresh_storage_pool" "lab" {
  storage_pool = jvp_storage_pool.lab.id
  triggers = {
    written = "2026-01-31"
  }
}
