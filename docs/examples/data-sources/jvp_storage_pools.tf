data "jvp_storage_pools" "running" {
  state = "running"
}

output "room" {
  value = { for pool in data.jvp_storage_pools.running.storage_pools : pool.name => pool.available_bytes }
}
