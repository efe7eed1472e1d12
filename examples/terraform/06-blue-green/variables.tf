variable "prefix" {
  description = "What the names of all objects begin with"
  default     = "shop"
}

variable "blue" {
  description = "What the blue ones are made from"
  default     = "lab/debian"
}

variable "green" {
  description = "What the green ones are made from"
  default     = "lab/debian"
}

variable "live" {
  description = "The colour that runs: blue or green"
  default     = "blue"
}

variable "memory" {
  description = "Memory of each guest"
  default     = "512MiB"
}

variable "network" {
  description = "The network that they are on"
  default     = "default"
}
