"""Domains: their definitions, devices and disks, and running guests."""
