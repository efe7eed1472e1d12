"""Uploads of images over REST: in pieces, with cut connections and a new server between, and what becomes of them."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.contract.rest_support import Rest, server
from tests.contract.storage_support import MIB, raw_image

from jvp.core.errors import Invalid, NoSpace
from jvp.doors.rest import spool
from jvp.doors.rest.problems import Refused
from jvp.doors.rest.spool import Uploads

BLOB = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return raw_image(tmp_path / "image.raw", size=24 * MIB, data=3 * MIB)


@pytest.fixture
def pool(bench: Bench, tmp_path: Path) -> Iterator[str]:
    name = bench.name("up")
    made = bench.create("StoragePool", name, {"name": name, "path": f"{bench.folder}/{name}"}).stored
    yield name
    bench.delete("StoragePool", made)


def piece(rest: Rest, method: str, path: str, data: bytes, **given: Any) -> Any:
    return rest.client.request(
        method, f"/api/{path}", content=data, params=given.pop("params", None), headers={**BLOB, **given}
    )


def cut(folder: Path, head: str, data: bytes) -> None:
    """Send a request and a part of its body, and hang up."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(folder / "jvp.sock"))
        connection.sendall(head.encode() + data)


def offset(rest: Rest, id: str, least: int) -> int:
    """How far an upload is, when the server has taken what was sent before a cut."""
    end = time.monotonic() + 30
    while (found := int(rest.client.head(f"/api/uploads/{id}").headers["Upload-Offset"])) < least:
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


def test_an_upload_goes_on_after_cuts_and_a_new_server_and_becomes_a_template_and_a_volume(
    bench: Bench, pool: str, image: Path, tmp_path: Path
) -> None:
    data = image.read_bytes()
    digits = hashlib.sha256(data).hexdigest()
    with server(tmp_path) as rest:
        begun = piece(rest, "POST", "uploads", b"", params={"length": len(data), "sha256": digits})
        place, id = begun.headers["Location"].removeprefix("/api/"), begun.json()["id"]
        assert (begun.status_code, begun.json()["state"], begun.headers["Upload-Offset"]) == (201, "incomplete", "0")
        head = f"PATCH /api/{place} HTTP/1.1\r\nHost: jvp\r\nUpload-Offset: 0\r\nContent-Length: {len(data)}\r\n\r\n"
        cut(tmp_path, head, data[: 5 * MIB + 77])
        assert offset(rest, id, 5 * MIB + 77) == 5 * MIB + 77
        wrong = piece(rest, "PATCH", place, b"x", **{"Upload-Offset": "5"})
        assert (wrong.status_code, wrong.headers["Upload-Offset"]) == (409, str(5 * MIB + 77))
        assert wrong.json()["type"] == "urn:jvp:precondition"
        early = rest.problem("POST", "templates", {"name": "t", "pool": pool, "source": {"upload": id}})
        assert early["errors"][0]["pointer"] == "/source/upload"
        assert f"not complete: {5 * MIB + 77} of {len(data)} bytes" in early["detail"]
    with server(tmp_path) as rest:
        assert [one["id"] for one in rest.ask("GET", "uploads").json()["items"]] == [id]
        at = offset(rest, id, 0)
        done = piece(rest, "PATCH", place, data[at:], **{"Upload-Offset": str(at)})
        assert (done.status_code, done.json()["state"], done.json()["checksum"]) == (
            200,
            "complete",
            f"sha256:{digits}",
        )
        (file,) = (one for one in (tmp_path / "uploads").iterdir() if one.suffix != ".json")
        assert file.read_bytes() == data
        assert file.stat().st_blocks * 512 < 5 * MIB
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        _becomes(rest, pool, id, f"sha256:{digits}", data)
        assert [one.name for one in (tmp_path / "uploads").iterdir()] == [f"{id}.json"]
        # The same in one go. It is known by what it is, so nothing changes.
        again = piece(rest, "POST", "uploads", data, params={"sha256": digits.upper()})
        assert (again.status_code, again.json()["state"]) == (201, "complete")
        same = {"source": {"upload": again.json()["id"]}}
        plan = rest.ask("PUT", f"templates/{pool}/t", same, params={"plan": "true"}).json()
        assert (plan["action"], plan["changes"]) == ("none", [])
        for path in (f"volumes/{pool}/v", f"templates/{pool}/t"):
            rest.done("DELETE", path)
        assert rest.ask("DELETE", f"uploads/{again.json()['id']}").status_code == 204
        assert rest.problem("GET", f"uploads/{again.json()['id']}")["status"] == 404


def _becomes(rest: Rest, pool: str, id: str, checksum: str, data: bytes) -> None:
    """A volume by the checksum, and a template by the id, after which the server lets go of it."""
    declared = {"name": "v", "pool": pool, "format": "raw", "imageUpload": checksum}
    plan = rest.ask("POST", "volumes", declared, params={"plan": "true"}).json()
    assert (plan["action"], plan["warnings"]) == ("create", [])
    template = rest.done("PUT", f"templates/{pool}/t", {"source": {"upload": id}})
    assert (template["source"]["upload"], template["format"]) == (checksum, "raw")
    assert "path" not in {name for name, value in template["source"].items() if value}
    found = Path(template["path"])
    assert found.read_bytes() == data
    assert found.stat().st_blocks * 512 < 5 * MIB
    # The bytes are gone with that; whoever asks the same again asks for what is there.
    assert rest.ask("GET", f"uploads/{id}").json()["state"] == "used"
    first = rest.ask("GET", f"templates/{pool}/t")
    for source in ({"upload": id}, {"upload": checksum}):
        rest.done("PUT", f"templates/{pool}/t", {"source": source})
    assert rest.ask("GET", f"templates/{pool}/t").headers["ETag"] == first.headers["ETag"]
    rest.done("PUT", f"templates/{pool}/t", {"source": first.json()["source"]})
    assert found.stat().st_ino == Path(rest.ask("GET", f"templates/{pool}/t").json()["path"]).stat().st_ino
    missing = rest.problem("POST", "volumes", declared)
    assert missing["errors"][0]["pointer"] == "/imageUpload"
    anew = piece(rest, "POST", "uploads", data).json()
    assert rest.done("POST", "volumes", {**declared, "imageUpload": anew["id"]})["imageUpload"] == checksum
    rest.ask("DELETE", f"uploads/{anew['id']}")


def test_what_is_refused(tmp_path: Path) -> None:
    with server(tmp_path, "--upload-max", "4MiB") as rest:
        wrong = piece(rest, "POST", "uploads", b"abc", params={"sha256": "0" * 64})
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/sha256")
        assert rest.ask("GET", "uploads").json()["items"] == []
        for path, code in (("uploads", 422), ("uploads?sha256=x", 422), ("uploads?length=0", 400),
                           ("uploads?length=4194305", 413), ("uploads?lenght=1", 422)):  # fmt: skip
            assert piece(rest, "POST", path, b"").status_code == code, path
        assert piece(rest, "POST", "uploads", bytes(5 * MIB)).status_code == 413
        place = piece(rest, "POST", "uploads?length=10", b"12345").headers["Location"].removeprefix("/api/")
        assert piece(rest, "PATCH", place, b"6").status_code == 400
        assert piece(rest, "PATCH", place, b"678901", **{"Upload-Offset": "5"}).status_code == 422
        assert piece(rest, "PATCH", place, b"67890", **{"Upload-Offset": "5"}).json()["state"] == "complete"
        assert piece(rest, "PATCH", f"{place}0", b"", **{"Upload-Offset": "0"}).status_code == 404
        unknown = {"name": "t", "pool": "p", "source": {"upload": "../../etc/passwd"}}
        assert "there is no upload of yours" in rest.problem("POST", "templates", unknown)["detail"]
        assert piece(rest, "POST", "templates", bytes(5 * MIB)).status_code == 413


def test_the_server_holds_little_of_an_upload_in_memory(tmp_path: Path) -> None:
    def peak(rest: Rest) -> int:
        text = Path(f"/proc/{rest.process.pid}/status").read_text()
        return int(text.partition("VmHWM:")[2].split()[0]) * 1024

    def body() -> Iterator[bytes]:
        for number in range(128):
            yield os.urandom(MIB // 2) + bytes(MIB // 2) if number % 2 else bytes(MIB)

    with server(tmp_path) as rest:
        piece(rest, "POST", "uploads", bytes(4 * MIB))
        before = peak(rest)
        sent = rest.client.post("/api/uploads", params={"length": 128 * MIB}, content=body(), headers=BLOB)
        assert sent.json()["state"] == "complete", sent.text
        assert peak(rest) - before < 24 * MIB


def test_uploads_belong_to_their_caller_and_have_their_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = Uploads(tmp_path / "up", each_max=MIB, all_max=MIB)
    mine = uploads.create("user ann", 70_000, None)
    with pytest.raises(Refused, match="you have no such upload"):
        uploads.get("user bob", mine.id)
    with pytest.raises(Invalid, match="there is no upload of yours"):
        uploads.checksum("user bob", mine.id, ("source", "upload"))
    old, new = mine.begin(0), mine.begin(0)
    with pytest.raises(Refused, match="another request goes on"):
        uploads.write(mine, old, b"x")
    uploads.write(mine, new, b"a" * 70_000)
    uploads.finish(mine)
    assert (uploads.of("user bob"), uploads.files("user bob", [str(mine.checksum)])) == ([], {})
    assert uploads.files("user ann", [str(mine.checksum)]) == {mine.checksum: str(mine.file)}
    # One after another, whatever a piece's length is: the file is what was sent, and zeros are holes.
    pieces = [bytes(100), b"x" * 65_500, bytes(200_000), b"y", bytes(65_536), bytes(3)]
    other = uploads.create("user ann", sum(map(len, pieces)), hashlib.sha256(b"".join(pieces)).hexdigest())
    for data in pieces:
        uploads.write(other, other.begin(other.offset), data)
    # A server that finds them there has nothing of them in memory.
    anew = Uploads(tmp_path / "up", each_max=MIB, all_max=MIB)
    found = anew.get("user ann", other.id)
    anew.finish(found)
    assert (found.state, found.file.read_bytes()) == ("complete", b"".join(pieces))
    assert found.taken < 200_000
    big = anew.create("user ann", MIB, None)
    turn = big.begin(0)
    with pytest.raises(NoSpace, match="take all the room"):
        anew.write(big, turn, b"z" * MIB)
    monkeypatch.setattr(spool, "FREE_BYTES", 1 << 60)
    with pytest.raises(NoSpace, match="is full"):
        anew.create("user ann", 1, None)
    monkeypatch.setattr(spool, "FREE_BYTES", 0)
    monkeypatch.setattr(spool, "CALLERS_MAX", 3)
    with pytest.raises(Refused, match="3 uploads of yours"):
        anew.create("user ann", 1, None)
    # What nobody comes back to is dropped after a day; a note that cannot be read, too.
    (tmp_path / "up" / "torn.json").write_text("{")
    for file in (tmp_path / "up").iterdir():
        os.utime(file, (1, 1))
    for one in anew.of("user ann"):
        one.created = 1
        text = json.loads(one.file.with_name(f"{one.id}.json").read_text())
        one.file.with_name(f"{one.id}.json").write_text(json.dumps({**text, "created": 1}))
        for file in (one.file, one.file.with_name(f"{one.id}.json")):
            if file.exists():
                os.utime(file, (1, 1))
    Uploads(tmp_path / "up").sweep()
    assert [*(tmp_path / "up").iterdir()] == []


def test_a_disk_that_takes_no_more_is_a_sentence_and_the_upload_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = Uploads(tmp_path)
    upload, write = uploads.create("a", 200_000, None), os.pwrite
    turn = upload.begin(0)

    def full(descriptor: int, data: bytes, at: int) -> int:
        if at >= 65_536:
            raise OSError(28, "No space left on device")
        return write(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(NoSpace, match="No space left on device"):
        uploads.write(upload, turn, b"x" * 200_000)
    monkeypatch.setattr(os, "pwrite", write)
    at = upload.offset
    assert at == 65_536
    uploads.write(upload, upload.begin(at), b"x" * (200_000 - at))
    uploads.finish(upload)
    assert upload.checksum == f"sha256:{hashlib.sha256(b'x' * 200_000).hexdigest()}"
    with pytest.raises(Refused, match="takes no uploads"):
        Uploads(None).create("a", 1, None)
