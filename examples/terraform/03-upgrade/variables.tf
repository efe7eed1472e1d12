variable "prefix" {
  description = "What the names of all objects begin with"
  default     = "upgrade"
}

variable "template" {
  description = "The template that it is made from, as pool/name"
  default     = "lab/debian"
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
  default     = "ip"
}

variable "ssh_key" {
  description = "Who may log in: a public SSH key"
  default     = null
}

variable "failed" {
  description = "Another word for each upgrade that failed"
  default     = null
}
