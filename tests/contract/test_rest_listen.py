"""Listening on TCP: where that is refused, TLS, tokens, slow clients, and who asks over which way."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.contract.rest_support import Rest, server

from jvp.core.errors import Invalid
from jvp.doors.rest import server as served
from jvp.doors.rest import tcp
from jvp.index import tokens
from jvp.index.store import Index

pytestmark = pytest.mark.contract
trustme = pytest.importorskip("trustme", reason="trustme is not installed")
PATIENCE_S = 30.0


class Certificates:
    """A certificate of an authority of the test's own, and its key."""

    def __init__(self, folder: Path) -> None:
        self.authority, self.folder = trustme.CA(), folder
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self.issue()

    def issue(self) -> bytes:
        """Another one at the same place; its serial number tells it from the one before."""
        made = self.authority.issue_cert("127.0.0.1", "localhost")
        made.private_key_pem.write_to_path(self.key)
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        return ssl.PEM_cert_to_DER_cert(made.cert_chain_pems[0].bytes().decode())

    @property
    def trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("listen")


@pytest.fixture(scope="module")
def certificates(folder: Path) -> Certificates:
    return Certificates(folder)


@pytest.fixture(scope="module")
def rest(folder: Path, certificates: Certificates) -> Iterator[Rest]:
    files = ("--tls-cert", str(certificates.certificate), "--tls-key", str(certificates.key))
    with server(folder, "--listen", "127.0.0.1:0", "--listen", "[::1]:0", *files) as found:
        yield found


@pytest.fixture(scope="module")
def index(folder: Path, rest: Rest) -> Iterator[Index]:
    found = Index(f"sqlite:///{folder}/index.db")
    yield found
    found.close()


def port(rest: Rest) -> int:
    found = re.search(r"https?://127\.0\.0\.1:(\d+)", rest.log.read_text())
    assert found is not None
    return int(found[1])


def logged(rest: Rest, text: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while text not in rest.log.read_text():
        assert time.monotonic() < end, rest.log.read_text()
        time.sleep(0.05)


def test_over_tls_a_token_tells_who_asks_and_over_the_socket_the_kernel(
    rest: Rest, index: Index, certificates: Certificates
) -> None:
    _, text = tokens.create(index, "ci", "viewer", expires_s=600)
    with httpx.Client(base_url=f"https://127.0.0.1:{port(rest)}", verify=certificates.trust, timeout=60) as client:
        none = client.get("/api/operations")
        assert (none.status_code, none.json()["type"]) == (401, "urn:jvp:unauthenticated")
        headers = {"Authorization": f"Bearer {text}"}
        assert client.get("/api/operations", headers=headers).status_code == 200
        refused = client.post("/api/networks", json={"name": "x"}, headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:jvp:forbidden")
        operator = {"Authorization": f"Bearer {tokens.create(index, 'ci', 'operator', expires_s=600)[1]}"}
        assert client.post("/api/networks", json={"name": "x", "cidr": "none"}, headers=operator).status_code == 422
        assert client.get("/api/audit", headers=operator).status_code == 403
    (noted,) = rest.done("GET", "audit", params={"who": "ci"})["items"]
    assert (noted["who"], noted["origin"], noted["outcome"]) == ("token ci", "127.0.0.1", "failed")
    assert re.search(r"https://\[::1\]:\d+", rest.log.read_text())
    logged(rest, "127.0.0.1: GET /api/operations 200")
    assert text not in rest.log.read_text()
    assert rest.ask("GET", "operations", headers={"Authorization": "Bearer jvp_x"}).status_code == 200


def test_older_tls_and_no_tls_get_nothing(rest: Rest, certificates: Certificates) -> None:
    old = certificates.trust
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    for context in (old, None):
        with socket.create_connection(("127.0.0.1", port(rest)), PATIENCE_S) as line, contextlib.suppress(OSError):
            if context is not None:
                with pytest.raises(ssl.SSLError):
                    context.wrap_socket(line, server_hostname="127.0.0.1")
            else:
                line.sendall(b"GET /api/operations HTTP/1.1\r\nHost: jvp\r\n\r\n")
                assert not line.recv(100).startswith(b"HTTP")
    assert "Traceback" not in rest.log.read_text()


def shown_by(rest: Rest, certificates: Certificates) -> bytes | None:
    with (
        socket.create_connection(("127.0.0.1", port(rest)), PATIENCE_S) as line,
        certificates.trust.wrap_socket(line, server_hostname="127.0.0.1") as safe,
    ):
        return safe.getpeercert(binary_form=True)


def test_a_certificate_is_read_anew_by_sighup_and_one_that_is_wrong_is_not_taken(
    rest: Rest, certificates: Certificates
) -> None:
    before = shown_by(rest, certificates)
    new = certificates.issue()
    assert shown_by(rest, certificates) == before != new
    rest.process.send_signal(signal.SIGHUP)
    logged(rest, "the certificate is read again")
    assert shown_by(rest, certificates) == new
    certificates.key.write_text("no key")
    rest.process.send_signal(signal.SIGHUP)
    logged(rest, "the one before stays")
    assert shown_by(rest, certificates) == new


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--listen", "0.0.0.0:0"], "takes --tls-cert and --tls-key"),
        (["--listen", "[::]:0"], "takes --tls-cert and --tls-key"),
        (["--listen", "127.0.0.1:0", "--index", "none"], "has no index"),
        (["--listen", "127.0.0.1:0", "--tls-cert", "x"], "go together"),
        (["--listen", "127.0.0.1:0", "--tls-cert", "/no/cert", "--tls-key", "/no/key"], "cannot be used"),
        (["--listen", "127.0.0.1"], "is no address to listen on"),
        (["--listen", "::1:80"], "is no address to listen on"),
        (["--listen", "127.0.0.1:65536"], "is no address to listen on"),
        (["--listen", "no.such.invalid:1"], "is no address or name of this machine"),
    ],
)
def test_where_it_is_not_to_listen_is_one_sentence_before_anything_listens(
    options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "jvp.sock"
    assert served.main(["--socket", str(path), "--index", f"sqlite:///{tmp_path}/index.db", *options]) == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert told.startswith("jvp: ")
    assert told.count("\n") == 1
    assert not path.exists()


def test_a_port_that_is_taken_is_one_sentence_and_leaves_no_socket(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [
            sys.executable, "-m", "jvp.doors.cli.main", "serve", "--socket", str(tmp_path / "jvp.sock"),
            "--listen", place, "--index", f"sqlite:///{tmp_path}/index.db",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr == f"jvp: cannot listen on {place}: Address already in use\n"
    assert not (tmp_path / "jvp.sock").exists()


def test_an_encrypted_key_is_refused_and_nobody_is_asked(certificates: Certificates, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = certificates.authority.issue_cert("x").private_key_pem.bytes()
    loaded = serialization.load_pem_private_key(key, None)
    locked = serialization.BestAvailableEncryption(b"secret")
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "key.pem").write_bytes(loaded.private_bytes(pem, pkcs8, locked))
    with pytest.raises(Invalid, match="the key is encrypted"):
        tcp.Certificate(certificates.certificate, tmp_path / "key.pem")


def test_who_says_nothing_is_cut_off_and_nobody_holds_all_connections(tmp_path: Path) -> None:
    """The limits themselves are made small in the server's process."""
    small = (
        "import sys; from jvp.doors.rest import app, caller, server; caller.HEAD_S = 0.5; caller.OF_ADDRESS_MAX = 3; "
        "app.SILENCE_S = 0.5; sys.exit(server.main(sys.argv[1:]))"
    )
    with serving(small, tmp_path, "--listen", "127.0.0.1:0") as (log, index):
        place = ("127.0.0.1", int(re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())[1]))  # type: ignore[index]
        for said in (b"", b"GET /api/oper"):
            with socket.create_connection(place, PATIENCE_S) as line:
                line.sendall(said)
                assert line.recv(100) == b""
        _, text = tokens.create(index, "slow", "operator", expires_s=600)
        head = (
            "POST /api/networks HTTP/1.1",
            "Host: jvp",
            f"Authorization: Bearer {text}",
            "Content-Length: 9",
            "",
            "{",
        )
        with socket.create_connection(place, PATIENCE_S) as line:
            line.sendall("\r\n".join(head).encode())
            assert line.recv(1000).startswith(b"HTTP/1.1 408 ")
        with contextlib.ExitStack() as held:
            lines = [held.enter_context(socket.create_connection(place, PATIENCE_S)) for _ in range(4)]
            with contextlib.suppress(ConnectionResetError):
                assert lines[-1].recv(100) == b""  # one too many


@contextlib.contextmanager
def serving(script: str, folder: Path, *options: str) -> Iterator[tuple[Path, Index]]:
    url, log = f"sqlite:///{folder}/index.db", folder / "server.log"
    command = [sys.executable, "-c", script, "--socket", str(folder / "jvp.sock"), "--index", url, *options]
    with log.open("wb") as into, subprocess.Popen(command, stdout=into, stderr=into) as process:
        try:
            end = time.monotonic() + PATIENCE_S * 2
            while b"serves" not in log.read_bytes():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
            found = Index(url)
            yield log, found
            found.close()
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
