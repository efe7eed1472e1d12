"""Commands on a node, for what libvirt has no call for: here, or over ssh with the login of the node's uri.

`running.run` takes a list of arguments, never a line for a shell. `way` tells how a command gets to the node, or in one
sentence why none does.
"""
