variable "prefix" {
  description = "What the names of all objects begin with"
  default     = "golden"
}

variable "template" {
  description = "The template that it is made from, as pool/name"
  default     = "lab/debian"
}

variable "pool" {
  description = "The storage pool"
  default     = "lab"
}

variable "memory" {
  description = "Memory of each guest"
  default     = "512MiB"
}

variable "network" {
  description = "The network that they are on"
  default     = "default"
}

variable "wait" {
  description = "What a guest must have before it counts as made: none, ip or agent"
  default     = "agent"
}
