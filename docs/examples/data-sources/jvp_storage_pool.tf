data "jvp_storage_pool" "default" {
  storage_pool = "default"
}

output "room_in_default" {
  value = data.jvp_storage_pool.default.available_bytes
}
