variable "prefix" {
  description = "What the names of all objects begin with"
  default     = "lab"
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
  description = "The addresses of the network"
  default     = "10.31.0.0/24"
}
