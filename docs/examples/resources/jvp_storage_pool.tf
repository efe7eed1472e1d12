resource "jvp_storage_pool" "lab" {
  name = "lab"
}
