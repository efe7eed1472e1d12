"""Examples of the OpenAPI document: one declaration of each kind, which can be sent as it is, one after the other."""

from __future__ import annotations

from typing import Any

DEBIAN = "https://cloud.debian.org/images/cloud/bookworm/latest"
EXAMPLES: dict[str, dict[str, Any]] = {
    "StoragePool": {"name": "lab"},
    "Network": {"name": "lab", "cidr": "10.77.0.0/24"},
    "Firewall": {
        "name": "web",
        "rules": [{"name": "http", "protocol": "tcp", "ports": ["80", "443"]}],
    },
    "Template": {
        "name": "debian-12",
        "pool": "lab",
        "source": {
            "url": f"{DEBIAN}/debian-12-genericcloud-amd64.qcow2",
            "checksum": f"sha512:{DEBIAN}/SHA512SUMS",
        },
    },
    "Volume": {"name": "data", "pool": "lab", "size": "1GiB"},
    "Instance": {
        "name": "web",
        "memory": "512MiB",
        "powerState": "stopped",
        "rootDisk": {"pool": "lab", "size": "1GiB"},
        "disks": [{"name": "data", "volume": "lab/data"}],
        "nics": [{"name": "eth0", "network": "lab"}],
    },
    "Snapshot": {"name": "before-upgrade", "instance": "web"},
}
