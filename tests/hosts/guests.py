"""Namespaces that stand for guests and other hosts: cheap, and their traffic is real."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hosts.namespace import Namespace

SERVER = """
import socket, sys, threading
def tcp(family, port):
    s = socket.socket(family); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(('', port)); s.listen()
    def serve():
        while True:
            c, a = s.accept(); c.sendall(a[0].encode()); c.close()
    return serve
def udp(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', port))
    def serve():
        while True:
            _, a = s.recvfrom(9); s.sendto(a[0].encode(), a)
    return serve
serving = [tcp(socket.AF_INET, 80), tcp(socket.AF_INET6, 80), *(udp(port) for port in (7000, 7001, 7002, 7003))]
for serve in serving: threading.Thread(target=serve, daemon=True).start()
print('ready', flush=True); sys.stdin.read()
"""
"""Answers each who comes with the address that it sees him come from."""
CLIENT = """
import socket, sys
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ':' in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM); s.settimeout(float(sys.argv[4]))
try:
    s.connect((host, port))
    if kind == 'udp': s.send(b'?')
    print(s.recv(99).decode())
except OSError as error: print('no', type(error).__name__)
"""


class Machine:
    """A network namespace with one card. `serve` has it answer."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o755)
        self.namespace = Namespace(folder, name, mounts={})
        self.server: subprocess.Popen[str] | None = None

    def plug(self, node: Namespace, name: str, addresses: tuple[str, ...], gateways: tuple[str, ...]) -> None:
        """Give it a card whose other end is the interface `name` of the node."""
        peer = ("peer", "name", "eth0", "netns", str(self.namespace.holder.pid))
        node.run("ip", "link", "add", name, "type", "veth", *peer)
        node.run("ip", "link", "set", name, "up")
        for address in addresses:
            nodad = ("nodad",) if ":" in address else ()
            self.namespace.run("ip", "address", "add", address, "dev", "eth0", *nodad)
        self.namespace.run("ip", "link", "set", "eth0", "up")
        for gateway in gateways:
            self.namespace.run("ip", "route", "add", "default", "via", gateway, "dev", "eth0")

    def serve(self) -> None:
        command = self.namespace.command(sys.executable, "-c", SERVER)
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.server.stdout is not None
        assert self.server.stdout.readline() == "ready\n"

    def asks(self, host: str, port: int, kind: str = "tcp", limit_s: float = 10) -> str:
        return asked(self.namespace, host, port, kind, limit_s)

    def cannot_ask(self, host: str, port: int, kind: str = "tcp") -> bool:
        return self.asks(host, port, kind, 0.5).startswith("no")

    def close(self) -> None:
        if self.server is not None:
            for stream in (self.server.stdin, self.server.stdout):
                if stream is not None:
                    stream.close()
            self.server.wait(timeout=30)
        self.namespace.close()


def asked(namespace: Namespace, host: str, port: int, kind: str = "tcp", limit_s: float = 10) -> str:
    """As who the server at this address sees one who asks from the namespace; `no …` where nobody answers."""
    return namespace.run(sys.executable, "-c", CLIENT, kind, host, str(port), str(limit_s)).strip()
