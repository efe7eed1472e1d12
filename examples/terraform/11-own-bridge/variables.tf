variable "prefix" {
  description = "What the names of all objects begin with"
  default     = "office"
}

variable "template" {
  description = "The template that each guest is made from, as pool/name"
  default     = "lab/debian"
}

variable "memory" {
  description = "Memory of each guest"
  default     = "512MiB"
}

variable "bridge" {
  description = "The bridge of the node that the guests are on"
  default     = "br42"
}
