"""A certificate for hosts that want TLS to their plugin.

The host sends its own certificate too, of a kind that grpcio refuses (ECDSA P-521), so the server asks for none: who
may connect is told by the socket's folder. Source: go-plugin, `mtls.go`; it wants `localhost`, and an authority.

A host starts a plugin up to five times for one command, and what makes certificates takes 70 ms to load (measured), so
one is kept for this user and used again for some days.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from pathlib import Path

import grpc

VALID = datetime.timedelta(days=30)
KEPT_S = 7 * 86400
SKEW = datetime.timedelta(minutes=5)
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def credentials() -> tuple[grpc.ServerCredentials, str]:
    """The server's credentials, and the certificate as the handshake line has it: base64 without padding."""
    file = _file()
    pem = _kept(file) or _keep(file, _fresh())
    private, _, rest = pem.partition(_BEGIN)
    body = rest.partition(_END)[0]
    server = grpc.ssl_server_credentials([(private.encode(), f"{_BEGIN}{body}{_END}\n".encode())])
    return server, "".join(body.split()).rstrip("=")


def _file() -> Path | None:
    """Where it is kept; None where there is no cache."""
    folder = cache_folder()
    return folder / "plugin.pem" if folder is not None else None


def cache_folder() -> Path | None:
    """Our part of the user's cache; None where there is none."""
    with contextlib.suppress(RuntimeError):  # no home
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jvp"
    return None


def _kept(file: Path | None) -> str | None:
    """The certificate of an earlier start; only a file that nobody else can have read or written counts."""
    if file is None:
        return None
    with contextlib.suppress(OSError, UnicodeDecodeError):
        with file.open(encoding="ascii") as stream:
            status = os.fstat(stream.fileno())
            private = status.st_uid == os.geteuid() and status.st_mode & 0o077 == 0
            text = stream.read(16384)
        if private and 0 <= time.time() - status.st_mtime < KEPT_S and _BEGIN in text and _END in text:
            return text
    return None


def _keep(file: Path | None, text: str) -> str:
    """Write it beside and rename it: two starts at once may both do that. Best effort."""
    if file is not None:
        import tempfile  # late: it is not made at every start

        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor, beside = tempfile.mkstemp(dir=file.parent)  # mode 0600
            try:
                with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                    stream.write(text)
                Path(beside).rename(file)
            finally:
                Path(beside).unlink(missing_ok=True)
    return text


def _fresh() -> str:
    """A key and its certificate, as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode("ascii")
