data "jvp_templates" "debian" {
  name = "debian-*"
}

output "debian" {
  value = data.jvp_templates.debian.templates[*].name
}
