data "jvp_template" "base" {
  template = "default/base"
}

output "stands_on_base" {
  value = data.jvp_template.base.users
}
