"""Templates from an address and from a file: checksums, progress, a new image, the old one kept for its users."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from engine_stack import Stack

MIB = 1024**2
PROGRAM = """
pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
image = jvp.Template("image", name=P + "image", pool=pool.id, source=source)
vm = jvp.Instance(
    "vm", name=P + "vm", template=image.id, memory="32MiB", virt_type="qemu", power_state="stopped",
    root_disk={"size": "8MiB"},
)
pulumi.export("digest", image.digest)
"""


@dataclass
class Site:
    """A web site with images."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    delay_s: float = 0.0
    """For each of the 16 parts of a file."""
    port: int = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            data = found.files.get(self.path.strip("/"))
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            part = max(1, len(data or b"") // 16)
            for start in range(0, len(data or b""), part):
                time.sleep(found.delay_s)
                with contextlib.suppress(ConnectionError):  # whoever reads may have seen enough
                    self.wfile.write((data or b"")[start : start + part])

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def raw(seed: int) -> bytes:
    """A raw image of 4 MiB with a boot sector, half of it data."""
    sector = bytes((seed + index) % 251 for index in range(510)) + b"\x55\xaa"
    return sector * 4096 + bytes(2 * MIB)


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_an_image_is_fetched_once_and_a_new_one_keeps_the_old_for_its_users(
    stack: Stack, site: Site, daemon: Any
) -> None:
    first, second = raw(1), raw(2)
    site.files = {"first.img": first, "second.img": second}
    stack.write(PROGRAM, source={"url": site.url("first.img"), "checksum": sha(first)})
    assert stack.preview().ops["image"] == ["create"]
    assert site.asked == [], "a preview fetches nothing"
    stack.up()
    stack.settle()
    assert site.asked.count("/first.img") == 1
    pool = daemon.storagePoolLookupByName(stack.names["P"] + "pool")
    old = stack.state()["image"]["outputs"]["path"]
    assert Path(old).read_bytes() == first
    assert old in daemon.lookupByName(stack.names["P"] + "vm").XMLDesc(2) or old in backing(stack)

    stack.write(PROGRAM, source={"url": site.url("second.img"), "checksum": sha(second)})
    plan = stack.preview()
    assert plan.ops == {"image": ["update"]}, "a new image replaces no instance"
    stack.up()
    stack.settle()
    new = stack.state()["image"]["outputs"]["path"]
    assert Path(new).read_bytes() == second
    assert Path(old).read_bytes() == first
    stack.destroy()
    assert stack.names["P"] + "pool" not in [one.name() for one in daemon.listAllStoragePools(0)]
    assert not Path(stack.names["FOLDER"]).exists()
    del pool


def backing(stack: Stack) -> str:
    """The root disk's own header, which names its backing file."""
    return Path(stack.state()["vm"]["outputs"]["rootDiskPath"]).read_bytes()[:4096].decode("latin-1")


def test_a_wrong_checksum_leaves_nothing_and_the_right_one_goes_on(stack: Stack, site: Site, daemon: Any) -> None:
    data = raw(3)
    site.files = {"image.img": data}
    stack.write(PROGRAM, source={"url": site.url("image.img"), "checksum": "sha256:" + 64 * "0"})
    refused = stack.up(ok=False)
    assert "source.url: the image's checksum does not match: expected sha256:0000" in refused.errors, refused
    assert sha(data).removeprefix("sha256:") in refused.errors, refused
    assert "Traceback" not in refused.text
    assert set(stack.state()) == {"pool"}
    pool = daemon.storagePoolLookupByName(stack.names["P"] + "pool")
    assert [name for name in pool.listVolumes() if "image" in name] == []
    stack.write(PROGRAM, source={"url": site.url("missing.img")})
    assert "404" in stack.up(ok=False).errors
    stack.write(PROGRAM, source={"url": site.url("image.img"), "checksum": sha(data)})
    stack.up()
    stack.settle()


def test_the_progress_of_a_download_is_in_the_live_display(stack: Stack, site: Site) -> None:
    site.files, site.delay_s = {"slow.img": raw(4)}, 0.15
    stack.write(
        """
        pool = jvp.StoragePool("pool", name=P + "pool", path=FOLDER)
        jvp.Template("image", name=P + "image", pool=pool.id, source={"url": url})
        """,
        url=site.url("slow.img"),
    )
    run = stack.up()
    lines = [
        event["diagnosticEvent"]
        for event in run.events
        if "diagnosticEvent" in event and event["diagnosticEvent"].get("urn", "").endswith("::image")
    ]
    assert len(lines) >= 3, run
    assert all(line["ephemeral"] and line["severity"] == "info" for line in lines)
    assert any("%" in line["message"] or "MiB" in line["message"] for line in lines), lines
    # Where the display has no live lines, the last one of a row is printed with it.
    assert any(line["message"].strip().splitlines()[0] in run.text for line in lines)


def test_a_changed_file_is_a_planned_update(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "image.img"
    file.write_bytes(raw(5))
    stack.write(PROGRAM, source={"path": str(file)})
    stack.up()
    digest = stack.outputs()["digest"]
    stack.settle()
    file.write_bytes(raw(6))
    plan = stack.preview()
    assert plan.ops == {"image": ["update"]}
    assert plan.planned("image")["digest"] != digest
    stack.up()
    stack.settle()
    assert stack.outputs()["digest"] != digest
