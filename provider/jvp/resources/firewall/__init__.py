"""Firewalls: rules for what goes through the cards of instances, by libvirt's nwfilter."""
