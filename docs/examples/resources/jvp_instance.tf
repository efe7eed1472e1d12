resource "jvp_instance" "web" {
  name       = "web"
  template   = jvp_template.debian.id
  cpus       = 2
  memory     = "1GiB"
  max_memory = "4GiB"

  root_disk = {
    size = "20GiB"
  }

  disks = [
    { name = "data", volume = jvp_volume.data.id },
  ]

  nics = [
    { name = "eth0", network = jvp_network.lan.id, address = "10.20.30.20", firewall = jvp_firewall.web.id },
  ]

  cloud_init = {
    hostname = "web"
    packages = ["nginx"]
    # The file must be there: name that of your own public key.
    users = [
      { name = "admin", sudo = true, ssh_keys = [file("~/.ssh/id_ed25519.pub")] },
    ]
  }

  wait_for = "ip"
}

output "address" {
  value = jvp_instance.web.ip_address
}
