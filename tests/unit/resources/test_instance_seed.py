"""What stands on the cloud-init disk, word for word."""

from __future__ import annotations

import base64
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from jvp.core.check import check
from jvp.resources.instance.model import Instance
from jvp.resources.instance.nocloud import content_of

UUID = "6f0f3d2e-6f1c-5d5b-9c55-0d8f0b7a3f10"
SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 x"
PACKED = gzip.compress(b"#cloud-config\npackages: [htop]\n", mtime=0)
HERE = Path(__file__).parent / "golden"

SEEDS: dict[str, dict[str, Any]] = {
    "seed-typed": {
        "hostname": "web.example.org", "sshKeys": [SSH], "packages": ["nginx", "g++"],
        "users": [{"name": "ann", "password": "p: #w", "sudo": True, "groups": ["adm"], "shell": "/bin/sh",
                   "sshKeys": [SSH]}],
        "files": [{"path": "/etc/motd", "content": "a: 'b' \"c\"\n\té\u2028\x07{{ x }}\n"},
                  {"path": "/srv/key", "content": "", "permissions": "0600", "owner": "www-data:adm"}],
        "runCommands": ["echo $HOME > '/tmp/a b'", "set -e\nfor one in 1 2; do\n  echo $one\ndone"],
        "networkConfig": "# cards\nversion: 2\nethernets:\n  eth0: {dhcp4: true}\n",
    },
    "seed-raw": {"userData": "#!/bin/sh\necho é", "networkConfig": "version: 2"},
    "seed-empty": {},
}  # fmt: skip


def seed(cloud_init: dict[str, Any]) -> bytes:
    checked = check(Instance, {"name": "web_1.a", "template": "t", "cloudInit": cloud_init})
    assert checked.spec is not None, checked.failures
    assert checked.spec.cloud_init is not None
    return content_of(UUID, "web_1.a", checked.spec.cloud_init)


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_golden(name: str) -> None:
    """Every file of the disk lies in one piece, from the start of a sector."""
    data = seed(SEEDS[name])
    for file in ("meta-data", "user-data", "network-config"):
        path = HERE / f"{name}.{file}"
        present = f"{file.upper()}.;1".encode() in data
        if os.environ.get("JVP_GOLDEN") == "write" and present:
            path.write_bytes(_file(data, file))
        assert present == path.exists()
        assert not present or _file(data, file) == path.read_bytes()


def _file(data: bytes, name: str) -> bytes:
    """A file by its record in the folder. Source: ECMA-119 9.1."""
    record = data.index(f"{name.upper()}.;1".encode()) - 33
    start, length = (int.from_bytes(data[record + at : record + at + 4], "little") for at in (2, 10))
    return data[start * 2048 : start * 2048 + length]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (base64.b64encode(PACKED).decode(), PACKED),
        (base64.b64encode(b"#cloud-config\na: 1\n").decode(), b"#cloud-config\na: 1\n"),
        ("\ufeff#cloud-config\na: 1\n", b"#cloud-config\na: 1\n"),
    ],
)
def test_what_a_guest_would_not_know_is_mended(text: str, written: bytes) -> None:
    data = seed({"userData": text, "networkConfig": "\ufeffnetwork: {config: disabled}"})
    assert _file(data, "user-data") == written
    assert _file(data, "network-config") == b"network: {config: disabled}"


def test_equal_declarations_give_equal_bytes() -> None:
    assert seed(SEEDS["seed-typed"]) == seed(SEEDS["seed-typed"])


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\r\nprintf 'a\\tb' \n\n",
        "## template: jinja\n#cloud-config\nhostname: {{ ds.meta_data.role }}\n",
        "#include\nhttps://example.org/a\n",
        'Content-Type: multipart/mixed; boundary="b"\r\nMIME-Version: 1.0\r\n\r\n--b\r\n'
        "Content-Type: text/x-shellscript\r\n\r\n#!/bin/sh\r\n--b--\r\n",
    ],
)
def test_every_form_of_user_data_and_vendor_data_stays_as_it_is(text: str) -> None:
    data = seed({"userData": text, "vendorData": text, "networkConfig": "version: 1\nconfig: []\n"})
    assert _file(data, "user-data") == _file(data, "vendor-data") == text.encode()
    assert _file(data, "network-config") == b"version: 1\nconfig: []\n"


def test_metadata_of_the_program_stands_beside_ours() -> None:
    meta = json.loads(_file(seed({"metaData": {"role": "web: \u2028"}}), "meta-data"))
    assert meta == {"instance-id": UUID, "local-hostname": "web-1-a", "role": "web: \u2028"}
    assert b"VENDOR-DATA" not in seed({"metaData": {"role": "web"}})
