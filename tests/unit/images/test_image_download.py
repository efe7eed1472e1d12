from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

import jvp.images.http as fetch
import jvp.images.url_source as download
from jvp.core.errors import Cancelled, Forbidden, Invalid, JvpError, Unreachable
from jvp.core.work import Work
from jvp.images import Data, open_url
from jvp.images.segments import BLOCK, HEAD_BYTES, Segment

pytestmark = pytest.mark.unit

MIB = 1 << 20
IMAGE = os.urandom(700_001) + bytes(3 * MIB) + os.urandom(300_000)


def flat(segments: Iterator[Segment]) -> bytes:
    return b"".join(s.data if isinstance(s, Data) else bytes(s.length) for s in segments)


def fetched(url: str, **options: Any) -> bytes:
    with open_url(url, options.pop("work", Work()), limit_bytes=options.pop("limit", 100 * MIB), **options) as source:
        return flat(source.segments())


def refused(kind: type[JvpError], url: str, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        fetched(url, **options)
    message = caught.value.message
    assert not message.endswith(".")
    assert "\n" not in message
    return message


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE_S", 0.01)


def test_an_image_arrives_whole_and_sparse(server: Any) -> None:
    url = server.serve("/a", IMAGE)
    with open_url(url, Work(), limit_bytes=len(IMAGE)) as source:
        assert source.total_bytes == len(IMAGE)
        assert source.head() == IMAGE[:HEAD_BYTES]
        assert source.head() == IMAGE[:HEAD_BYTES]
        segments = list(source.segments())
    assert flat(iter(segments)) == IMAGE
    assert sum(s.length for s in segments if isinstance(s, Data)) <= MIB + 2 * BLOCK
    assert server.seen[0][1]["Accept-Encoding"] == "identity"


def test_a_short_image(server: Any) -> None:
    with open_url(server.serve("/a", b"tiny"), Work(), limit_bytes=10) as source:
        assert source.head() == b"tiny"
        assert flat(source.segments()) == b"tiny"
    assert fetched(server.serve("/b", b"")) == b""


def test_a_chunked_answer_has_no_length(server: Any) -> None:
    def chunked(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for start in range(0, len(IMAGE), 300_000):
            piece = IMAGE[start : start + 300_000]
            request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        request.wfile.write(b"0\r\n\r\n")

    server.routes["/a"] = chunked
    with open_url(server.url + "/a", Work(), limit_bytes=len(IMAGE)) as source:
        assert source.total_bytes is None
        assert flat(source.segments()) == IMAGE
    assert "goes on, and the limit is 1.0 MiB" in refused(Invalid, server.url + "/a", limit=MIB)


def test_a_cut_chunked_answer(server: Any) -> None:
    def chunked(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"100000\r\n" + bytes(1000))

    server.routes["/a"] = chunked
    assert "was cut after 1000 bytes: the connection was lost; run again" in refused(Unreachable, server.url + "/a")


def test_a_truncated_body(server: Any) -> None:
    url = server.serve("/a", IMAGE, length=len(IMAGE) + 1)
    assert f"was cut after {len(IMAGE)} of {len(IMAGE) + 1} bytes: the server ended" in refused(Unreachable, url)


def test_an_endless_body(server: Any) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(IMAGE)

    server.routes["/a"] = endless
    assert "goes on, and the limit is 8.0 MiB" in refused(Invalid, server.url + "/a", limit=8 * MIB)


def test_a_length_over_the_limit_is_not_even_read(server: Any) -> None:
    url = server.serve("/a", b"x", length=50 << 30)
    assert "/a is 50.0 GiB, and the limit is 1.0 GiB" in refused(Invalid, url, limit=1 << 30)


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (400, Invalid, "refuses it"), (401, Invalid, "wants a user name"), (403, Invalid, "not allow it"),
        (404, Invalid, "does not have it"), (410, Invalid, "no longer has it"), (429, Unreachable, "later"),
        (500, Unreachable, "HTTP 500"), (503, Unreachable, "try again later"), (304, Invalid, "HTTP 304"),
    ],
)  # fmt: skip
def test_http_errors(server: Any, status: int, kind: type[JvpError], says: str) -> None:
    server.routes["/a"] = lambda request: request.send_error(status)
    assert says in refused(kind, server.url + "/a")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "only http:// and https://"), ("ftp://h/a", "only http:// and https://"),
        ("file:///etc/passwd", "goes by its path"), ("/var/a.img", "goes by its path"),
        ("http://", "names no host"), ("http://h:99999/", "not a valid"), ("http://[::1/", "not a valid"),
    ],
)  # fmt: skip
def test_addresses_that_are_none(url: str, says: str) -> None:
    assert says in refused(Invalid, url)


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert refused(Unreachable, f"http://127.0.0.1:{port}/a").endswith("cannot be reached: connection refused")


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert "'no.such.host.invalid' does not resolve" in refused(Unreachable, "http://no.such.host.invalid/a")


def test_a_server_that_does_not_speak_http(server: Any) -> None:
    server.routes["/a"] = lambda request: request.wfile.write(b"SSH-2.0-OpenSSH\r\n")
    assert "does not speak HTTP" in refused(Unreachable, server.url + "/a")
    assert "no encrypted connection" in refused(Unreachable, server.url.replace("http:", "https:") + "/a")


def test_silence_is_a_cut(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "SILENCE_S", 1.0)
    monkeypatch.setattr(download, "_TRIES", 1)
    free = threading.Event()

    def silent(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        request.wfile.write(bytes(1000))
        free.wait(10)

    server.routes["/a"] = silent
    server.routes["/b"] = lambda _: free.wait(10)
    assert "it sent nothing for 1 s" in refused(Unreachable, server.url + "/a")
    assert "did not answer within" in refused(Unreachable, server.url + "/b")
    free.set()


@pytest.mark.parametrize("when", ["before the answer", "during the body"])
def test_a_cancel_does_not_wait_for_the_network(server: Any, when: str) -> None:
    free, work = threading.Event(), Work()

    def slow(request: BaseHTTPRequestHandler) -> None:
        if when == "during the body":
            request.send_response(200)
            request.send_header("Content-Length", "1000000")
            request.end_headers()
            request.wfile.write(bytes(1000))
        free.wait(10)

    server.routes["/a"] = slow
    threading.Timer(0.2, work.cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        fetched(server.url + "/a", work=work)
    assert time.monotonic() - began < 5
    free.set()


def test_leaving_early_ends_the_thread_and_gives_back_the_socket(server: Any) -> None:
    def left() -> list[str]:
        """Our threads and the connections to the server; threads of other tests come and go."""
        threads = [thread.name for thread in threading.enumerate() if thread.name == "jvp-ahead"]
        return threads + [link for link in map(_target, Path("/proc/self/fd").iterdir()) if link.startswith("socket:")]

    before = set(left())
    with open_url(server.serve("/a", IMAGE * 5), Work(), limit_bytes=100 * MIB) as source:
        next(source.segments())
        assert set(left()) - before
        source.close()
    end = time.monotonic() + 30  # the server's side ends in its own time
    while set(left()) - before and time.monotonic() < end:
        time.sleep(0.02)
    assert not set(left()) - before


def _target(link: Path) -> str:
    with contextlib.suppress(OSError):  # closed meanwhile
        return str(link.readlink())
    return ""


def opened() -> set[str]:
    """What this process has open; what others in it close meanwhile makes no difference."""
    return {target for link in Path("/proc/self/fd").iterdir() if (target := _target(link))} - {"/proc/self/fd"}


def test_an_address_that_is_opened_and_not_read(server: Any) -> None:
    url = server.serve("/a", IMAGE)
    before = opened()
    for _ in range(5):
        with open_url(url, Work(), limit_bytes=100 * MIB) as source:
            source.close()
    end = time.monotonic() + 15  # the server's side closes in its own time
    while opened() - before and time.monotonic() < end:
        time.sleep(0.02)
    assert not opened() - before


def test_progress_is_shown(server: Any) -> None:
    def slow(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(4 * MIB))
        request.end_headers()
        for _ in range(8):
            request.wfile.write(bytes(MIB // 2))
            time.sleep(0.1)

    server.routes["/a"] = slow
    lines: list[str] = []
    began = time.monotonic()
    fetched(server.url + "/a", work=Work(status=lines.append))
    assert 2 <= len(lines) <= (time.monotonic() - began) / 0.2 + 2
    assert all(line.startswith("downloading ") and "% of 4.0 MiB, " in line for line in lines)


def test_a_password_goes_to_its_host_and_into_no_message(server: Any) -> None:
    server.redirect("/a", f"http://localhost:{server.port}/b")
    url = server.url.replace("http://", "http://me:s%20cret@") + "/a?token=hidden"
    server.routes["/a?token=hidden"] = server.routes["/a"]
    message = refused(Invalid, url)
    assert "cret" not in message
    assert "hidden" not in message
    assert server.seen[0][1]["Authorization"] == "Basic " + base64.b64encode(b"me:s cret").decode()
    assert "Authorization" not in server.seen[1][1]


def test_a_password_goes_along_on_the_same_server(server: Any) -> None:
    server.serve("/b", IMAGE)
    assert fetched(server.redirect("/a", "/b").replace("//", "//me:secret@")) == IMAGE
    assert server.seen[1][1]["Authorization"] == server.seen[0][1]["Authorization"]


def test_odd_characters_in_the_path(server: Any) -> None:
    server.serve("/gr%C3%BC%20n?a=%5B1%5D&b=[2]", b"ok")
    assert fetched(server.url + "/grü n?a=%5B1%5D&b=[2]#part") == b"ok"


# --- resuming ---


def ranged(server: Any, body: bytes, cuts: int, honest: bool = True, **headers: str) -> str:
    """A server that ends the connection after a third of what is left, `cuts` times."""
    state = {"cuts": cuts}

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and honest else 0
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body) - start))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        end = len(body)
        if state["cuts"]:
            state["cuts"] -= 1
            end = start + (len(body) - start) // 3
        request.wfile.write(body[start:end])

    server.routes["/a"] = answer
    return str(server.url + "/a")


@pytest.mark.parametrize("headers", [{"ETag": '"v1"'}, {"Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
def test_a_cut_is_resumed(server: Any, headers: dict[str, str]) -> None:
    assert fetched(ranged(server, IMAGE, 3, True, **headers)) == IMAGE
    assert [bool(seen.get("Range")) for _, seen in server.seen] == [False, True, True, True]
    assert {seen["If-Range"] for _, seen in server.seen[1:]} == set(headers.values())


def test_a_cut_without_a_validator_is_an_error(server: Any) -> None:
    assert "was cut after" in refused(Unreachable, ranged(server, IMAGE, 1))
    assert "was cut after" in refused(Unreachable, ranged(server, IMAGE, 1, ETag='W/"weak"'))


def test_a_server_without_ranges_sends_all_of_it_again(server: Any) -> None:
    assert fetched(ranged(server, IMAGE, 2, False, ETag='"v1"')) == IMAGE
    assert len(server.seen) == 3


def test_a_cut_before_the_first_byte_needs_no_validator(server: Any) -> None:
    url = server.serve("/a", b"", length=len(IMAGE))
    first = server.routes["/a"]

    def answer(request: BaseHTTPRequestHandler) -> None:
        first(request)
        server.serve("/a", IMAGE)

    server.routes["/a"] = answer
    assert fetched(url) == IMAGE


def test_what_is_asked_for_again_stands_in_the_status_line(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE_S", 0.3)
    lines: list[str] = []
    fetched(ranged(server, IMAGE, 1, ETag='"v1"'), work=Work(status=lines.append))
    assert "the server ended the connection; asking for the rest, attempt 1 of 5" in lines


# --- the first answer ---


def flaky(server: Any, *answers: Callable[[BaseHTTPRequestHandler], None]) -> str:
    """A server that answers in these ways, one after the other, and then as it should."""
    turns = list(answers)
    server.serve("/whole", IMAGE)
    server.routes["/a"] = lambda request: (turns.pop(0) if turns else server.routes["/whole"])(request)
    return str(server.url + "/a")


def busy(status: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()

    return answer


def reset(request: BaseHTTPRequestHandler) -> None:
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()


def dropped(request: BaseHTTPRequestHandler) -> None:
    """The end without a word."""


@pytest.mark.parametrize("way", [busy(503), busy(500), busy(429, Retry_After="0"), busy(502), reset, dropped])
def test_the_first_answer_is_asked_for_again(server: Any, way: Any) -> None:
    lines: list[str] = []
    assert fetched(flaky(server, way, way), work=Work(status=lines.append)) == IMAGE
    assert len(server.seen) == 3
    told = [line for line in lines if "follows in" in line]
    assert [line.partition("; ")[2] for line in told] == [
        "attempt 2 of 6 follows in 0.0 s", "attempt 3 of 6 follows in 0.0 s",
    ]  # fmt: skip


@pytest.mark.parametrize("status", [404, 403, 401, 410])
def test_what_is_final_is_not_asked_for_again(server: Any, status: int) -> None:
    refused(Invalid, flaky(server, busy(status)))
    assert len(server.seen) == 1


def test_a_server_that_stays_busy(server: Any) -> None:
    assert "HTTP 503" in refused(Unreachable, flaky(server, *[busy(503)] * 9))
    assert len(server.seen) == 6


def test_a_server_says_when_to_come_back(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(Work, "wait", lambda _, seconds: waited.append(seconds))
    way = busy(503, Retry_After="7"), busy(503, Retry_After="99999"), busy(503, Retry_After="soon")
    assert fetched(flaky(server, *way)) == IMAGE
    assert waited == [7, 60, download._PAUSE_S * 4]


def test_nothing_is_asked_for_again_after_the_deadline(server: Any) -> None:
    work = Work(deadline=time.monotonic() + 30)
    assert "HTTP 503" in refused(Unreachable, flaky(server, busy(503, Retry_After="60")), work=work)
    assert len(server.seen) == 1


def test_a_cancel_ends_the_pause(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE_S", 60)
    work = Work()
    work.status = lambda _: work.cancelled.set()
    refused(Cancelled, flaky(server, busy(503)), work=work)


def test_a_hiccup_of_the_name_server(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, resolve = [1, 2], socket.getaddrinfo

    def once(*args: Any, **options: Any) -> Any:
        if turns:
            turns.pop()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    assert fetched(server.serve("/a", IMAGE)) == IMAGE


def test_a_resumed_download_outlives_a_busy_server(server: Any) -> None:
    url = ranged(server, IMAGE, 1, ETag='"v1"')
    whole, turns = server.routes["/a"], [None, busy(503), reset, None]
    server.routes["/a"] = lambda request: ((turns.pop(0) if turns else None) or whole)(request)
    assert fetched(url) == IMAGE
    assert len(server.seen) == 4


def test_an_image_that_changed_meanwhile(server: Any) -> None:
    url = ranged(server, IMAGE, 1, ETag='"v1"')
    first = server.routes["/a"]

    def answer(request: BaseHTTPRequestHandler) -> None:
        first(request)
        server.serve("/a", IMAGE + b"new", ETag='"v2"')

    server.routes["/a"] = answer
    assert "was changed on the server" in refused(Invalid, url)


def test_resuming_ends(server: Any) -> None:
    url = ranged(server, IMAGE, 1, ETag='"v1"')
    first = server.routes["/a"]

    def answer(request: BaseHTTPRequestHandler) -> None:
        first(request)
        server.routes["/a"] = lambda request: request.send_error(503)

    server.routes["/a"] = answer
    assert "was cut after" in refused(Unreachable, url)
    assert len(server.seen) == 6


# --- redirects ---


@pytest.fixture
def internet(server: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Pretend names: each has its addresses, one resolution after another; all lead to `server`."""
    connected: list[str] = []

    def prepare(**names: list[list[str]]) -> list[str]:
        def resolve(host: str, port: int, **_: Any) -> list[Any]:
            turns = names[host.partition(".")[0]]
            found = turns.pop(0) if len(turns) > 1 else turns[0]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

        def connect(address: tuple[str, int], timeout: float) -> socket.socket:
            connected.append(address[0])
            made = socket.socket()
            made.settimeout(timeout)
            made.connect(("127.0.0.1", server.port))
            return made

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr(socket, "create_connection", connect)
        return connected

    return prepare


PUBLIC, OTHER = "93.184.216.34", "1.1.1.1"


def test_redirects_between_public_hosts(server: Any, internet: Any) -> None:
    connected = internet(one=[[PUBLIC]], two=[[OTHER]])
    server.redirect("/a", "http://two.test/b", 301)
    server.redirect("/b", "/c", 307)
    server.serve("/c", IMAGE)
    assert fetched("http://one.test/a") == IMAGE
    assert connected == [PUBLIC, OTHER, OTHER]
    assert server.seen[1][1]["Host"] == "two.test"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
     "224.0.0.1", "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::"],
)  # fmt: skip
def test_a_redirect_inwards_is_refused(server: Any, internet: Any, address: str) -> None:
    connected = internet(one=[[PUBLIC]], inner=[[PUBLIC, address]])
    server.redirect("/a", "http://inner.test/secret?key=hidden")
    message = refused(Invalid, "http://one.test/a")
    assert f"redirects to http://inner.test/secret, at the private address {address}" in message
    assert connected == [PUBLIC]
    server.serve("/secret?key=hidden", b"ok")
    assert fetched("http://one.test/a", allow_private_redirects=True) == b"ok"


@pytest.mark.parametrize("address", ["127.0.0.1", "192.168.1.1", "169.254.169.254", "::1", "fe80::1"])
def test_who_may_reach_the_open_internet_alone_gets_nowhere_else(server: Any, internet: Any, address: str) -> None:
    """Neither by the address itself, nor by a redirect, nor by a name that resolves to another one the second time."""
    connected = internet(one=[[PUBLIC]], inner=[[PUBLIC, address]], fickle=[[PUBLIC], [address]])
    server.redirect("/a", "http://inner.test/b?key=hidden")
    server.redirect("/c", "http://fickle.test/d")
    server.serve("/b", b"ok")
    work = Work(open_internet=True)
    for url in ("http://inner.test/b", "http://one.test/a", "http://fickle.test/c"):
        message = refused(Forbidden, url, work=work, allow_private_redirects=True)
        assert "private, loopback or link-local range" in message
        assert address not in message  # what names resolve to in there is not told either
    assert connected == [PUBLIC, PUBLIC]
    server.serve("/e", b"ok")
    assert fetched("http://one.test/e", work=work) == b"ok"


def test_a_private_host_may_redirect_inwards(server: Any) -> None:
    server.serve("/b", b"ok")
    assert fetched(server.redirect("/a", f"http://localhost:{server.port}/b")) == b"ok"


def test_the_address_that_was_judged_is_the_one_connected_to(server: Any, internet: Any) -> None:
    connected = internet(one=[[PUBLIC]], fickle=[[OTHER], ["127.0.0.1"]])
    server.redirect("/a", "http://fickle.test/b")
    server.serve("/b", b"ok")
    assert fetched("http://one.test/a") == b"ok"
    assert connected == [PUBLIC, OTHER]


def test_the_typed_name_is_judged_again_when_it_is_redirected_to(server: Any, internet: Any) -> None:
    internet(fickle=[[PUBLIC], ["10.0.0.1"]])
    server.redirect("/a", "http://fickle.test/b")
    assert "private address 10.0.0.1" in refused(Invalid, "http://fickle.test/a")


def test_other_forbidden_redirects(server: Any) -> None:
    assert "file:, and only http and https" in refused(Invalid, server.redirect("/a", "file:///etc/passwd"))
    assert "not a valid URL" in refused(Invalid, server.redirect("/a", "http://[x/"))
    assert "redirects more than 10 times" in refused(Invalid, server.redirect("/a", "/a"))


# --- TLS ---


@pytest.fixture
def tls(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """`server` behind a certificate of its own for localhost; the address of it."""
    names = {"cert": tmp_path / "cert.pem", "key": tmp_path / "key.pem"}
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2",
         "-keyout", names["key"], "-out", names["cert"]],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(names["cert"], names["key"])
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True, do_handshake_on_connect=False)
    fetch._tls.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(names["cert"]))
    return f"https://localhost:{server.port}"


def test_https(server: Any, tls: str) -> None:
    server.serve("/a", IMAGE)
    assert fetched(tls + "/a") == IMAGE
    fetch._tls.cache_clear()


def test_a_certificate_that_is_not_trusted(server: Any, tls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "the certificate of localhost is not trusted: self-signed" in refused(Unreachable, tls + "/a")
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    fetch._tls.cache_clear()


def test_a_certificate_of_another_name(server: Any, tls: str) -> None:
    message = refused(Unreachable, tls.replace("localhost", "127.0.0.1") + "/a")
    assert "the certificate of 127.0.0.1 is not trusted: ip address mismatch" in message.lower()
    fetch._tls.cache_clear()


def test_no_redirect_from_https_to_http(server: Any, tls: str) -> None:
    server.redirect("/a", f"http://localhost:{server.port}/b")
    assert "without encryption" in refused(Invalid, tls + "/a")
    fetch._tls.cache_clear()
