from __future__ import annotations

import importlib
import io
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jvp import images
from jvp.core.errors import Invalid
from jvp.images import build_seed, cloud_config, inspect
from jvp.images.seed import write_iso, yaml

pytestmark = pytest.mark.unit

META = {"instance-id": "i-1", "local-hostname": "web"}
NETWORK = {"version": 2, "ethernets": {"eth0": {"dhcp4": True}}}
USER_DATA = cloud_config(hostname="web", packages=["nginx"], files=[{"path": "/a", "content": "é" * 3000}])


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    path = tmp_path / "seed.iso"
    path.write_bytes(build_seed(META, USER_DATA, NETWORK))
    return path


def test_equal_input_gives_equal_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_seed(META, USER_DATA, NETWORK)
    monkeypatch.setattr(time, "time", lambda: 4_000_000_000.0)
    assert build_seed(dict(META), USER_DATA, dict(NETWORK)) == first
    assert build_seed(META, USER_DATA) != first
    assert len(first) % 2048 == 0
    assert inspect(first, len(first)).content == "ISO 9660 file system"


@pytest.mark.parametrize("joliet", [True, False])
def test_another_reader_reads_it(seed: Path, joliet: bool) -> None:
    pycdlib = pytest.importorskip("pycdlib")
    iso = pycdlib.PyCdlib()
    iso.open(str(seed))
    try:
        assert iso.pvd.volume_identifier.rstrip() == b"cidata"
        assert iso.has_joliet()
        spelled = "/{}" if joliet else "/{}.;1"
        for name, content in (
            ("meta-data", yaml(META)),
            ("user-data", USER_DATA),
            ("network-config", yaml(NETWORK)),
        ):
            out = io.BytesIO()
            where = spelled.format(name if joliet else name.upper())
            iso.get_file_from_iso_fp(out, **{"joliet_path" if joliet else "iso_path": where})
            assert out.getvalue().decode() == content
    finally:
        iso.close()


@pytest.mark.skipif(not shutil.which("blkid"), reason="blkid is not installed")
def test_it_is_found_by_its_label(seed: Path) -> None:
    out = subprocess.run(["blkid", "-p", "-o", "export", seed], check=True, capture_output=True, text=True).stdout
    assert "TYPE=iso9660" in out
    assert "LABEL=cidata" in out.splitlines()


@pytest.mark.skipif(not shutil.which("isoinfo"), reason="isoinfo (genisoimage) is not installed")
@pytest.mark.parametrize("tree", ["joliet", "plain"])
def test_isoinfo_reads_it(seed: Path, tree: str) -> None:
    options = ["-J"] if tree == "joliet" else []
    for name, content in (
        ("meta-data", yaml(META)),
        ("user-data", USER_DATA),
        ("network-config", yaml(NETWORK)),
    ):
        spelled = f"/{name}" if options else f"/{name.upper()}.;1"
        shown = subprocess.run(["isoinfo", "-i", seed, *options, "-x", spelled], check=True, capture_output=True)
        assert shown.stdout.decode() == content


@pytest.mark.skipif(not shutil.which("bsdtar"), reason="bsdtar (libarchive-tools) is not installed")
def test_libarchive_reads_it(seed: Path) -> None:
    listed = subprocess.run(["bsdtar", "-tf", seed], check=True, capture_output=True, text=True)
    assert not listed.stderr
    assert set(listed.stdout.split()) - {"."} == {"meta-data", "network-config", "user-data"}


@pytest.mark.parametrize("options", ["loop,ro", "loop,ro,nojoliet"])
def test_the_kernel_mounts_it(seed: Path, tmp_path: Path, options: str) -> None:
    point = tmp_path / "mnt"
    point.mkdir()
    mounted = subprocess.run(["mount", "-o", options, seed, point], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no loop mounts here: {mounted.stderr.strip()}")
    try:
        assert sorted(path.name for path in point.iterdir()) == ["meta-data", "network-config", "user-data"]
        assert (point / "meta-data").read_text() == yaml(META)
        assert (point / "user-data").read_text() == USER_DATA
        assert (point / "network-config").read_text() == yaml(NETWORK)
    finally:
        subprocess.run(["umount", point], check=True)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z-]{0,15}", fullmatch=True), st.binary(max_size=5000), max_size=5))
def test_any_files_come_back(files: dict[str, bytes]) -> None:
    pycdlib = pytest.importorskip("pycdlib")
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(write_iso(files, "cidata")))
    found = {child.file_identifier().decode("utf-16-be") for child in iso.list_children(joliet_path="/")}
    assert {name for name in found if name.isprintable() and len(name) > 0} - {"."} >= set(files)
    for name, content in files.items():
        out = io.BytesIO()
        iso.get_file_from_iso_fp(out, joliet_path=f"/{name}")
        assert out.getvalue() == content
    iso.close()


def test_what_cannot_be_a_seed() -> None:
    with pytest.raises(Invalid, match="instance-id"):
        build_seed({}, "")
    with pytest.raises(Invalid, match="surrogate"):
        build_seed(META, "\ud800")
    with pytest.raises(Invalid, match="surrogate"):
        build_seed({**META, "a": "\ud800"}, "")
    with pytest.raises(Invalid, match="not data"):
        build_seed({**META, "a": object()}, "")
    with pytest.raises(Invalid, match="not data"):
        build_seed({**META, "a": float("nan")}, "")
    with pytest.raises(Invalid, match="too many"):
        write_iso({f"file-{n}": b"" for n in range(60)}, "cidata")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_what_is_written_is_what_yaml_reads(value: Any) -> None:
    parser = pytest.importorskip("yaml")
    assert parser.safe_load(yaml(value)) == value


@pytest.mark.parametrize(
    "text", ["\x7f", "\x85", "\u2028x", "\ufeff", "\ufffe", "yes", "1e3", "0o7", "a: b", "\t#", "\U0001f600"]
)
def test_strings_that_yaml_would_take_otherwise(text: str) -> None:
    parser = pytest.importorskip("yaml")
    assert parser.safe_load(yaml({text: [text]})) == {text: [text]}


def config(**options: Any) -> dict[str, Any]:
    parser = pytest.importorskip("yaml")
    text = cloud_config(**options)
    assert text.startswith("#cloud-config\n")
    found = parser.safe_load(text)
    assert isinstance(found, dict)
    return found


def test_an_empty_config() -> None:
    assert config() == {}


def test_users() -> None:
    found = config(
        users=[
            {
                "name": "ada",
                "sshKeys": ["ssh-ed25519 A"],
                "sudo": True,
                "groups": ["adm", "kvm"],
                "shell": "/bin/sh",
            },
            {"name": "bob", "password": "p: #w", "sudo": "ALL=(bob) ALL"},
        ]
    )
    assert found["users"] == [
        {"name": "ada", "ssh_authorized_keys": ["ssh-ed25519 A"], "lock_passwd": True, "groups": "adm, kvm",
         "sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/sh"},
        {"name": "bob", "lock_passwd": False, "plain_text_passwd": "p: #w", "sudo": "ALL=(bob) ALL"},
    ]  # fmt: skip


def test_top_level_keys_keep_the_default_user() -> None:
    assert config(ssh_keys=["k"]) == {"ssh_authorized_keys": ["k"]}
    assert config(ssh_keys=["k"], users=[{"name": "a"}])["users"][0] == "default"


def test_the_rest() -> None:
    found = config(
        hostname="web", fqdn="web.example.org", packages=["nginx"], run=["echo $HOME", ["ls", "-l"]],
        files=[
            {"path": "/a", "content": "x\n", "mode": "0600"},
            {"path": "/b", "content": b"\xff\x00", "owner": "www-data:www-data"},
            {"path": "/c", "content": "", "owner": "root:adm"},
        ],
    )  # fmt: skip
    assert found == {
        "hostname": "web", "fqdn": "web.example.org", "package_update": True, "packages": ["nginx"],
        "runcmd": ["echo $HOME", ["ls", "-l"]],
        "write_files": [
            {"path": "/a", "content": "x\n", "permissions": "0600"},
            {"path": "/b", "encoding": "b64", "content": "/wA=", "owner": "www-data:www-data", "defer": True},
            {"path": "/c", "content": "", "owner": "root:adm", "defer": False},
        ],
    }  # fmt: skip


@pytest.mark.skipif(not shutil.which("cloud-init"), reason="cloud-init is not installed")
def test_cloud_init_accepts_it(tmp_path: Path) -> None:
    path = tmp_path / "user-data"
    path.write_text(
        cloud_config(
            hostname="web", fqdn="web.example.org", ssh_keys=["ssh-ed25519 A"], packages=["nginx"],
            users=[{"name": "a", "sshKeys": ["k"], "sudo": True, "groups": ["adm"], "shell": "/bin/sh"},
                   {"name": "b", "password": "p"}],
            files=[{"path": "/a", "content": b"x", "mode": "0600", "owner": "a:a"}],
            run=["echo", ["ls", "-l"]],
        )
    )  # fmt: skip
    checked = subprocess.run(["cloud-init", "schema", "-c", path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_the_public_face_is_what_the_types_say() -> None:
    face = Path(images.__file__).read_text()
    typed = set(re.findall(r"import \w+ as (\w+)", face))
    assert set(dir(images)) == typed
    for name in typed:
        home = re.search(rf"from (\S+) import {name} as", face)
        assert home
        assert getattr(images, name) is getattr(importlib.import_module(home[1]), name)
    with pytest.raises(AttributeError, match="nothing"):
        _ = images.nothing
    assert not set(dir(images)) & {path.stem for path in Path(images.__file__).parent.iterdir()}


def test_importing_the_package_is_cheap() -> None:
    script = (
        "import sys; from jvp import images; [getattr(images, name) for name in dir(images)];"
        "costly = {'httpx', 'pycdlib', 'libvirt', 'ssl', 'http.client', 'pydantic', 'lxml', 'lzma'};"
        "print(sorted(costly & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "[]"
