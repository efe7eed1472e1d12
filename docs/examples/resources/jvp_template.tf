resource "jvp_template" "debian" {
  name = "debian-12"
  pool = jvp_storage_pool.lab.id
  source = {
    url      = "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2"
    checksum = "sha512:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS"
  }
}
