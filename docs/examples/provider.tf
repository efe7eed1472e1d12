terraform {
  required_providers {
    jvp = {
      source = "jvp.internal/jvp/jvp"
    }
  }
}

provider "jvp" {
  uri = "qemu:///system"
}
