variable "prefix" {
  description = "What the names of all objects begin with"
  default     = "dual"
}

variable "template" {
  description = "The template that each guest is made from, as pool/name"
  default     = "lab/debian"
}

variable "memory" {
  description = "Memory of each guest"
  default     = "512MiB"
}

variable "cidr" {
  description = "The IPv4 addresses of the network"
  default     = "10.33.0.0/24"
}

variable "cidr6" {
  description = "The IPv6 addresses of the network"
  default     = "fd00:33::/64"
}
