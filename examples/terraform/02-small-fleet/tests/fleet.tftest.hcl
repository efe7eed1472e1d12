# `tofu test` plans the fleet and looks at what would be made; nothing is.

variables {
  prefix = "test"
  image  = "/dev/null"
  guests = { one = {}, two = { data = "10GiB" } }
}

run "a_guest_without_a_data_disk_has_none" {
  command = plan

  assert {
    condition     = length(module.guest) == 2
    error_message = "there must be as many guests as are asked for"
  }

  assert {
    condition     = jvp_network.lan.dhcp.start == cidrhost(var.cidr, 2)
    error_message = "the plan must tell the DHCP range that follows from the addresses"
  }
}

run "a_fleet_may_be_empty" {
  command = plan

  variables {
    guests = {}
  }

  assert {
    condition     = output.addresses == {}
    error_message = "without guests there are no addresses"
  }
}
