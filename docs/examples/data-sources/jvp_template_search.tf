data "jvp_template_search" "debian" {
  text         = "debian-13"
  architecture = "x86_64"
}

resource "jvp_template" "newest" {
  name = "debian-13"
  pool = "images"
  os   = data.jvp_template_search.debian.images[0].os
  source = {
    url      = data.jvp_template_search.debian.images[0].url
    checksum = data.jvp_template_search.debian.images[0].checksum
  }
}
