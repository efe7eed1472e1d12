"""Runs inside fresh namespaces and holds them open: makes the mounts, says so, waits until its stdin closes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys


def main() -> None:
    plan = json.loads(sys.argv[1])
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for argv in plan["commands"]:
        subprocess.run(argv, check=True)
    socket.sethostname(plan["hostname"])
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
