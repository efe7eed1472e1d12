"""The index: what a server remembers beside libvirt. Operations, tokens, audit, and the inventory for quick lists.

SQLite by default, PostgreSQL by URL. No object needs it: the inventory is rebuilt from libvirt, and the CLI and the
engines work without it. Needs the extra `serve`.
"""
