variable "prefix" {
  description = "What the names of all objects begin with"
  default     = "cluster"
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
  default     = "10.32.0.0/24"
}

variable "port" {
  description = "The port of the node that leads to the balancer; 0 for none"
  default     = 8080
}
