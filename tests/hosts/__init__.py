"""Daemons of the tests' own, in namespaces of their own, and a stack of the real engine in front of them.

Nothing here touches the host's daemon or its configuration. Everything lies in one folder, and ends by process id.
"""
