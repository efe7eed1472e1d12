"""The door for Terraform and OpenTofu: the provider protocol, version 6, over the same core."""

import os

from jvp.core.later import put_off

# libvirt forks a process for ssh. gRPC, told nothing, goes into each fork too: there it writes into what libvirt takes
# for ssh's words, and at times ends the way before ssh has said anything. It reads this when it is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# gRPC imports what its asynchronous interface needs, and protobuf what it would need without its compiled part: half of
# what their imports take, and none of it is used here.
put_off("asyncio", "grpc.aio", "inspect", "google.protobuf.internal.python_message")
