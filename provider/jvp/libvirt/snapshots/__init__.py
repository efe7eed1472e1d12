"""Snapshots of domains as layers of ours: making, merging, and the record of each."""
