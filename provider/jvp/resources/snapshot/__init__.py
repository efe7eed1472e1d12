"""Snapshots of instances."""
