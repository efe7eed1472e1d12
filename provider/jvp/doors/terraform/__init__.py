"""The door for Terraform and OpenTofu: the provider protocol, version 6, over the same core."""
