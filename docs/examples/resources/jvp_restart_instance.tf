# With another number the guest is shut down and started again.
resource "jvp_restart_instance" "web" {
  instance = jvp_instance.web.id
  timeout  = "2m"
  triggers = {
    kernel = "6.12.3"
  }
}
