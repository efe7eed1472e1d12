"""`jvp template search`: the list of cloud images that comes along, and what can be pasted."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jvp.core.check import check
from jvp.core.errors import Invalid
from jvp.doors.cli import main, options
from jvp.resources.storage import catalogue
from jvp.resources.storage.catalogue import CloudImages
from jvp.resources.storage.template_model import Template

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is looked up, nothing is connected to, and no list of this machine's is read."""

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("JVP_IMAGE_LIST", raising=False)
    monkeypatch.delenv("JVP_OUTPUT", raising=False)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main.main(["template", "search", *words]) == 0
    return capsys.readouterr().out


def test_every_image_of_the_list_makes_a_template() -> None:
    raw = json.loads(catalogue._FILE.read_bytes())
    images = check(CloudImages, raw).sound().whole["images"]
    names = [image["name"] for image in images]
    assert sorted(set(names)) == sorted(names)
    systems = {"debian", "ubuntu", "fedora", "rocky", "almalinux", "centos", "opensuse", "arch", "alpine", "flatcar",
               "freebsd"}  # fmt: skip
    assert systems <= {image["os"].partition("-")[0] for image in images}
    for image in images:
        source = {name: image[name] for name in ("url", "checksum")}
        check(Template, {"name": image["name"], "pool": "p", "os": image["os"], "source": source}).sound()
        assert image["url"].startswith("https://")
        assert ":https://" in image["checksum"]
        assert ("aarch64" in image["name"]) == (image["architecture"] == "aarch64")


def test_words_and_processors(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "Debian", "12", "-o", "name").split() == ["debian-12", "debian-12-aarch64"]
    assert said(capsys, "debian", "12", "--architecture", "aarch64", "-o", "name").split() == ["debian-12-aarch64"]
    assert said(capsys, "no-such", "-o", "name") == ""
    head, *rows = said(capsys, "flatcar").splitlines()
    assert head.split() == ["NAME", "OS", "ARCHITECTURE", "TITLE", "NOTE"]
    assert [row.split()[0] for row in rows] == ["flatcar-stable"]
    (image,) = json.loads(said(capsys, "trixie", "--architecture", "x86_64", "-o", "json"))["images"]
    assert image["url"].endswith("debian-13-genericcloud-amd64.qcow2")


def test_the_commands_can_be_pasted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """They declare the image, also where an address has what a shell or an option would take for its own."""
    odd = {"name": "odd", "title": "Odd", "architecture": "x86_64", "url": "https://h.example/a,b='$(c)'.img"}
    (tmp_path / "list.yaml").write_text(json.dumps({"images": [odd]}))
    lines = said(
        capsys, "-o", "create", "--pool", "fast", "--uri", "test:///x", "--list", str(tmp_path / "list.yaml")
    ).splitlines()
    assert len(lines) == len(catalogue.found("")) + 1
    for line in lines:
        program, *words = shlex.split(line)
        parsed: Any = main.parser().parse_args(words)
        pool, _, name = parsed.reference.partition("/")
        (image,) = (one for one in catalogue.found("", file=str(tmp_path / "list.yaml")) if one.name == name)
        source = {"url": image.url} | ({"checksum": image.checksum} if image.checksum else {})
        assert (program, pool, parsed.uri) == ("jvp", "fast", "test:///x")
        assert options.given(parsed, Template) == {"source": source} | ({"os": image.os} if image.os else {})


def test_the_blocks_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = said(capsys, "debian-12", "--architecture", "x86_64", "-o", "hcl")
    base = "https://cloud.debian.org/images/cloud/bookworm/latest"
    assert (
        blocks
        == f"""\
resource "jvp_template" "debian_12" {{
  name = "debian-12"
  pool = "images"
  os   = "debian-12"
  source = {{
    url      = "{base}/debian-12-genericcloud-amd64.qcow2"
    checksum = "sha512:{base}/SHA512SUMS"
  }}
}}
"""
    )


def test_a_list_of_the_house_goes_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (catalogue.__doc__ or "").split("\n\n")[2]
    (tmp_path / "list.yaml").write_text("\n".join(line[4:] for line in text.splitlines()))
    monkeypatch.setenv("JVP_IMAGE_LIST", str(tmp_path / "list.yaml"))
    debian, arm = json.loads(said(capsys, "debian-12", "-o", "json"))["images"]
    assert (debian["url"], arm["name"]) == ("https://images.lab.example/debian-12.qcow2", "debian-12-aarch64")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "is no YAML or JSON"),
        ("- 1", 'has no "images"'),
        ("images: [{name: x}]", r"images\[0\]\.title: is required"),
        ("images: [{name: x, title: x, architecture: x, url: 'ftp://h/x'}]", r"images\[0\]\.url"),
        ("image: []", "did you mean"),
        ("[" * 5000, "is no YAML or JSON"),
        ("\x00", "is no YAML or JSON"),
    ],
)
def test_a_list_that_is_none_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    file = tmp_path / "list.yaml"
    file.write_text(text)
    with pytest.raises(Invalid, match=says):
        catalogue.found("", file=str(file))
    assert main.main(["template", "search", "--list", str(tmp_path / "none")]) != 0
    assert "cannot be read: No such file" in capsys.readouterr().err


def test_it_needs_no_node() -> None:
    """And who looks for Arch means no processor."""
    code = (
        "import sys; from jvp.doors.cli.main import main; main(['template', 'search', 'arch', '-o', 'name']);"
        "sys.exit('libvirt' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "arch\n"
