variable "prefix" {
  description = "What the names of all objects begin with"
  default     = "first"
}

variable "image" {
  description = "The disk image to boot, as a URL or as a path on this machine"
  default     = "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2"
}

variable "image_checksum" {
  description = "What another image than Debian's must hash to, like sha512:0123abcd..."
  default     = null
}

variable "memory" {
  description = "Memory of the guest"
  default     = "512MiB"
}

variable "max_memory" {
  description = "How far its memory can grow while it runs"
  default     = "1GiB"
}

variable "cidr" {
  description = "Addresses of the network"
  default     = "192.168.150.0/24"
}

variable "wait_timeout" {
  description = "How long an address may take"
  default     = "5m"
}

variable "hostname" {
  description = "The guest's own name"
  default     = "first"
}

variable "user" {
  description = "The login to make in the guest"
  default     = "admin"
}

variable "ssh_key" {
  description = "Who may log in: a public SSH key"
  default     = null
}

variable "disks" {
  description = "Data disks by name, with their sizes"
  type        = map(string)
  default     = { data = "1GiB" }
}
