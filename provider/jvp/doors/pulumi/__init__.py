"""The door for Pulumi: its provider protocol over the same core."""

import os

# libvirt forks a process for ssh. gRPC, told nothing, goes into each fork too: there it writes into what libvirt takes
# for ssh's words, and at times ends the way before ssh has said anything. It reads this when it is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
