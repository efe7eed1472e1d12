"""Files of checksums in the forms in which distributions publish them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from jvp.core.errors import Invalid
from jvp.core.work import Work
from jvp.images import Checksum, SumsFile, looked_up

pytestmark = pytest.mark.unit

LONG, OTHER_LONG = (hashlib.sha512(text).hexdigest() for text in (b"image", b"other"))
SHORT, OTHER = (hashlib.sha256(text).hexdigest() for text in (b"image", b"other"))
MD5, SHA1 = hashlib.md5(b"image").hexdigest(), hashlib.sha1(b"image").hexdigest()
SIGNED = """-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

{}
-----BEGIN PGP SIGNATURE-----

iQIzBAEBCAAdFiEEoVzNeTwvsTIv3eTbzgIh5+PRmQcFAmcXxQQACgkQzgIh5+PR
=Vx3p
-----END PGP SIGNATURE-----
"""
FEDORA = SIGNED.format(
    "# Fedora-Cloud-Base-AmazonEC2-41-1.4.x86_64.raw.xz: 408245388 bytes\n"
    f"SHA256 (Fedora-Cloud-Base-AmazonEC2-41-1.4.x86_64.raw.xz) = {OTHER}\n"
    "# Fedora-Cloud-Base-Generic-41-1.4.x86_64.qcow2: 491716608 bytes\n"
    f"SHA256 (Fedora-Cloud-Base-Generic-41-1.4.x86_64.qcow2) = {SHORT}"
)
ALMA = SIGNED.format(
    f"{OTHER}  AlmaLinux-9-GenericCloud-9.4-20240507.x86_64.qcow2\n"
    f"{SHORT}  AlmaLinux-9-GenericCloud-latest.x86_64.qcow2"
)
FLATCAR = (
    f"# MD5 HASH\n{MD5}  flatcar_production_qemu_image.img\n"
    f"# SHA1 HASH\n{SHA1}  flatcar_production_qemu_image.img\n"
    f"# SHA512 HASH\n{LONG}  flatcar_production_qemu_image.img\n"
)
GENTOO = SIGNED.format(
    f"# BLAKE2B HASH\n{OTHER_LONG}  di-amd64-console-20241020T170324Z.qcow2\n"
    f"# SHA512 HASH\n{LONG}  di-amd64-console-20241020T170324Z.qcow2"
)
BOTH = (
    f"SHA256 (FreeBSD-14.1-RELEASE-amd64.qcow2.xz) = {SHORT}\nSHA512 (FreeBSD-14.1-RELEASE-amd64.qcow2.xz) = {LONG}\n"
)
WINDOWS = f"# sums\r\n{SHORT.upper()} *.\\out\\disk.qcow2\r\n{OTHER.upper()} *.\\out\\disk2.qcow2\r\n"
TABLE = (
    "\r\nAlgorithm       Hash                                                                   Path\r\n"
    "---------       ----                                                                   ----\r\n"
    f"SHA256          {SHORT.upper()}       C:\\images\\disk.qcow2\r\n"
)


@pytest.mark.parametrize(
    ("file", "image", "text", "expected"),
    [
        pytest.param(
            "SHA512SUMS", "debian-12-genericcloud-amd64.qcow2",
            f"{OTHER_LONG}  debian-12-genericcloud-amd64.json\n{LONG}  debian-12-genericcloud-amd64.qcow2\n"
            f"{OTHER_LONG}  debian-12-genericcloud-amd64.tar.xz\n", LONG, id="debian",
        ),
        pytest.param(
            "SHA256SUMS", "noble-server-cloudimg-amd64.img",
            f"{OTHER} *noble-server-cloudimg-amd64-root.tar.xz\n{SHORT} *noble-server-cloudimg-amd64.img\n", SHORT,
            id="ubuntu",
        ),
        pytest.param(
            "Fedora-Cloud-41-1.4-x86_64-CHECKSUM", "Fedora-Cloud-Base-Generic-41-1.4.x86_64.qcow2", FEDORA, SHORT,
            id="fedora",
        ),
        pytest.param("CHECKSUM", "AlmaLinux-9-GenericCloud-latest.x86_64.qcow2", ALMA, SHORT, id="alma"),
        pytest.param(
            "Rocky-9-GenericCloud.latest.x86_64.qcow2.CHECKSUM", "Rocky-9-GenericCloud.latest.x86_64.qcow2",
            "# Rocky-9-GenericCloud-Base-9.5-20241118.0.x86_64.qcow2: 609812480 bytes\n"
            f"SHA256 (Rocky-9-GenericCloud-Base-9.5-20241118.0.x86_64.qcow2) = {SHORT}\n", SHORT, id="rocky",
        ),
        pytest.param(
            "CentOS-Stream-GenericCloud-9-latest.x86_64.qcow2.SHA256SUM",
            "CentOS-Stream-GenericCloud-9-latest.x86_64.qcow2",
            "# CentOS-Stream-GenericCloud-9-latest.x86_64.qcow2: 1278935040 bytes\n"
            f"SHA256 (CentOS-Stream-GenericCloud-9-latest.x86_64.qcow2) = {SHORT}\n", SHORT, id="centos",
        ),
        pytest.param(
            "openSUSE-Leap-15.6-Minimal-VM.x86_64-Cloud.qcow2.sha256",
            "openSUSE-Leap-15.6-Minimal-VM.x86_64-Cloud.qcow2",
            SIGNED.format(f"{SHORT}  openSUSE-Leap-15.6-Minimal-VM.x86_64-15.6.0-Cloud-Build19.106.qcow2"), SHORT,
            id="opensuse",
        ),
        pytest.param(
            "Arch-Linux-x86_64-cloudimg.qcow2.SHA256", "Arch-Linux-x86_64-cloudimg.qcow2",
            f"{SHORT}  Arch-Linux-x86_64-cloudimg-20241115.279100.qcow2\n", SHORT, id="arch",
        ),
        pytest.param(
            "generic_alpine-3.20.3-x86_64-bios-cloudinit-r0.qcow2.sha512",
            "generic_alpine-3.20.3-x86_64-bios-cloudinit-r0.qcow2", LONG, LONG, id="alpine",
        ),
        pytest.param(
            "alpine-virt-3.20.3-x86_64.iso.sha512", "alpine-virt-3.20.3-x86_64.iso",
            f"{LONG}  alpine-virt-3.20.3-x86_64.iso\n", LONG, id="alpine-iso",
        ),
        pytest.param(
            "flatcar_production_qemu_image.img.DIGESTS", "flatcar_production_qemu_image.img", FLATCAR, LONG,
            id="flatcar",
        ),
        pytest.param("x.qcow2.DIGESTS", "di-amd64-console-20241020T170324Z.qcow2", GENTOO, LONG, id="gentoo"),
        pytest.param("CHECKSUM.SHA512", "FreeBSD-14.1-RELEASE-amd64.qcow2.xz", BOTH, LONG, id="freebsd"),
        pytest.param("sums.txt", "disk.qcow2", f"# SHA256SUMS\n{SHORT}  ./a/b/disk.qcow2\n", SHORT, id="paths"),
        pytest.param("sums.txt", "disk.qcow2", WINDOWS, SHORT, id="windows"),
        pytest.param("hash.txt", "disk.qcow2", TABLE, SHORT, id="powershell"),
    ],
)  # fmt: skip
def test_a_published_file_tells_the_checksum(server: Any, file: str, image: str, text: str, expected: str) -> None:
    """The kind is told by the address, or by what is there."""
    kind = "sha512" if len(expected) == 128 else "sha256"
    url = server.serve(f"/{file}", text.encode())
    for algorithm in (kind, None):
        found = looked_up(SumsFile(algorithm, url), image, Work(), allow_private_redirects=False)
        assert found == Checksum(kind, expected)


@pytest.mark.parametrize(
    "file",
    ["disk.qcow2.xz.sha256", "other.qcow2.sha256", "SHA256SUMS", "disk.qcow2.sha256.html"],
)
def test_a_name_that_is_not_there_is_passed_over_only_in_a_file_for_this_image(server: Any, file: str) -> None:
    url = server.serve(f"/{file}", f"{SHORT}  disk-2024.qcow2\n".encode())
    with pytest.raises(Invalid, match="has no sha512 or sha256 checksum of a file"):
        looked_up(SumsFile(None, url), "disk.qcow2", Work(), allow_private_redirects=False)


def test_a_file_for_one_image_that_names_several_tells_nothing(server: Any) -> None:
    url = server.serve("/disk.qcow2.sha256", f"{SHORT}  disk-1.qcow2\n{OTHER}  disk-2.qcow2\n".encode())
    with pytest.raises(Invalid, match="has no sha256"):
        looked_up(SumsFile("sha256", url), "disk.qcow2", Work(), allow_private_redirects=False)
