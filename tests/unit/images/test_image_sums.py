"""Checksums that are published beside an image."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jvp.core.errors import Invalid
from jvp.core.work import Work
from jvp.images import Checksum, SumsFile, looked_up, parse_promise
from jvp.images.sums import sums_in

pytestmark = pytest.mark.unit

ONE, TWO = hashlib.sha512(b"one").hexdigest(), hashlib.sha512(b"two").hexdigest()
SHORT = hashlib.sha256(b"one").hexdigest()


@pytest.mark.parametrize(
    ("text", "means"),
    [
        (f"sha512:{ONE}", Checksum("sha512", ONE)),
        (SHORT, Checksum("sha256", SHORT)),
        ("sha512:https://host/SHA512SUMS", SumsFile("sha512", "https://host/SHA512SUMS")),
        ("https://host/CHECKSUM", SumsFile(None, "https://host/CHECKSUM")),
        (" SHA-256:http://host:8080/a?b=c ", SumsFile("sha256", "http://host:8080/a?b=c")),
    ],
)
def test_promises(text: str, means: object) -> None:
    assert parse_promise(text) == means
    assert parse_promise(str(means)) == means


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("md5:https://host/MD5SUMS", "'md5' are not known"),
        ("sha512:ftp://host/SHA512SUMS", "sha512"),
        ("sha512:file:///etc/passwd", "sha512"),
        ("sha512:", "128 hexadecimal digits"),
    ],
)
def test_what_promises_nothing(text: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        parse_promise(text)


@pytest.mark.parametrize(
    "line",
    [
        f"{ONE}  disk.qcow2",
        f"{ONE} *disk.qcow2",
        f"{ONE.upper()}\t./images/disk.qcow2\r",
        f"SHA512 (disk.qcow2) = {ONE}",
        f"SHA512 (a/disk.qcow2)= {ONE}",
        f"SHA512(disk.qcow2)= {ONE}",
        f"SHA2-512(disk.qcow2)= {ONE}",
    ],
)
def test_lines_of_every_style(line: str) -> None:
    text = f"# published today\n{TWO}  other.qcow2\n{SHORT}  disk.qcow2\nSHA256 (disk.qcow2) = {SHORT}\n\n{line}\n"
    assert sums_in(text, "sha512") == {"other.qcow2": {TWO}, "disk.qcow2": {ONE}}
    assert sums_in(text, "sha256") == {"disk.qcow2": {SHORT}}


@pytest.mark.parametrize("heading", ["# {} HASH", "#{}:", "{}", "# {} checksums"])
def test_headings_tell_kinds_of_the_same_length_apart(heading: str) -> None:
    """As in the DIGESTS of Gentoo, which are signed besides."""
    blake, sha = heading.format("BLAKE2B"), heading.format("SHA512")
    text = f"Hash: SHA512\n\n{blake}\n{TWO}  disk.qcow2\n{sha}\n{ONE}  disk.qcow2\n{blake}\n{TWO}  disk.qcow2.txt\n"
    assert sums_in(text, "sha512") == {"disk.qcow2": {ONE}}
    assert sums_in(f"BLAKE2B (disk.qcow2) = {TWO}\n{ONE}  disk.qcow2\n", "sha512") == {"disk.qcow2": {ONE}}


@given(st.text())
def test_no_file_is_anything_but_read(text: str) -> None:
    for name, found in sums_in(text, "sha256").items():
        assert name
        assert all(len(one) == 64 for one in found)


def ask(url: str, name: str = "disk.qcow2") -> Checksum:
    return looked_up(SumsFile("sha512", url), name, Work(), allow_private_redirects=False)


def test_the_line_of_the_name_counts(server: Any) -> None:
    url = server.serve("/SHA512SUMS", f"{TWO}  xdisk.qcow2\n{ONE}  disk.qcow2\n{TWO}  disk.qcow2.xz\n".encode())
    assert ask(url) == Checksum("sha512", ONE)
    with pytest.raises(Invalid, match=r"/SHA512SUMS has no sha512 checksum of a file 'none'"):
        ask(url, "none")
    with pytest.raises(Invalid, match="has no sha512"):
        ask(url, "")


@pytest.mark.parametrize("body", [ONE, ONE + "\n", f"\n {ONE.upper()} \r\n", f"\ufeff{ONE}\n"])
def test_a_file_of_nothing_but_one_checksum(server: Any, body: str) -> None:
    assert ask(server.serve("/disk.qcow2.sha512", body.encode())) == Checksum("sha512", ONE)
    with pytest.raises(Invalid, match="has no sha512"):
        ask(server.serve("/short", SHORT.encode()))
    with pytest.raises(Invalid, match="has no sha512"):
        ask(server.serve("/both", f"{ONE}\n{TWO}\n".encode()))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_a_byte_order_mark(server: Any, encoding: str) -> None:
    text = f"{ONE}  disk.qcow2\r\n"
    body = text.encode(encoding) if encoding != "utf-16-be" else ("\ufeff" + text).encode(encoding)
    assert ask(server.serve("/SHA512SUMS", body)) == Checksum("sha512", ONE)


def test_two_words_on_one_name_are_none(server: Any) -> None:
    url = server.serve("/sums", f"{TWO}  a/disk.qcow2\n{ONE}  b/disk.qcow2\n".encode())
    with pytest.raises(Invalid, match="more than one"):
        ask(url)


def test_the_same_guard_as_for_images(server: Any) -> None:
    with pytest.raises(Invalid, match="404"):
        ask(server.url + "/none")
    with pytest.raises(Invalid, match="the limit is 4"):
        ask(server.serve("/large", b"x" * 5_000_000))
    with pytest.raises(Invalid, match="has no sha512"):
        ask(server.serve("/page", b"<html>not found</html>"))
    with pytest.raises(Invalid, match="redirects to file"):
        ask(server.redirect("/away", "file:///etc/passwd"))
