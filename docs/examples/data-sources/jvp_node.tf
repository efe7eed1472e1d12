data "jvp_node" "this" {}

output "free_memory_gib" {
  value = floor(data.jvp_node.this.free_memory_bytes / pow(1024, 3))
}
