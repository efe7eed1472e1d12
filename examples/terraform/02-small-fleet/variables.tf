variable "prefix" {
  description = "What the names of all objects begin with"
  default     = "fleet"
}

variable "image" {
  description = "The disk image to boot, as a URL or as a path on this machine"
  default     = "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2"
}

variable "image_checksum" {
  description = "What an image that is downloaded must hash to, or where that is published"
  default     = "sha512:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS"
}

variable "cidr" {
  description = "Addresses of the network"
  default     = "192.168.160.0/24"
}

variable "guests" {
  description = "The guests by name"
  type = map(object({
    memory = optional(string, "512MiB")
    data   = optional(string)
  }))
  default = { one = {}, two = { data = "10GiB" } }
}

variable "wait_for" {
  description = "What a guest must have before it counts as made: none, ip or agent"
  default     = "ip"
}

variable "adopted_pools" {
  description = "Storage pools that exist already, with their folders"
  type        = map(string)
  default     = {}
}
