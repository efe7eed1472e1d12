"""The installed `jvp` on a real daemon: files of documents, single objects, actions, and what it says of others'."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import yaml
from tests.contract.conftest import Bench
from tests.contract.kinds import IMAGE, foreign_domain, foreign_network

from jvp.doors.cli import exits
from jvp.doors.cli.main import main

JVP = Path(sys.executable).with_name("jvp")
DOCUMENTS = """
kind: Instance
name: {P}vm
properties:
  template: {P}pool/{P}image
  memory: 32MiB
  powerState: stopped
  nics: [{{name: eth0, network: {P}net}}]
  disks: [{{name: data, volume: {P}pool/data}}]
  cloudInit: {{hostname: guest, users: [{{name: u, password: not-to-be-shown}}]}}
  shutdownTimeout: 7s
---
kind: volume
name: data
properties: {{pool: {P}pool, size: 2MiB}}
---
kind: Template
name: {P}image
properties: {{pool: {P}pool, source: {{path: {IMAGE}}}}}
---
kind: Network
name: {P}net
properties: {{cidr: {CIDR}}}
---
kind: storage pool
name: {P}pool
properties: {{path: {FOLDER}}}
"""


OURS = {name: text for name, text in os.environ.items() if not name.startswith("JVP_")} | {
    "JVP_VIRT_TYPE": "qemu",
    "JVP_AUDIT": "off",
}


def installed(*words: str, code: int = 0, **variables: str) -> tuple[str, str]:
    """What the installed command prints: standard output and standard error."""
    done = subprocess.run(
        [JVP, *words], env={**OURS, **variables}, capture_output=True, text=True, check=False, timeout=120,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return harmless(words, done.stdout, done.stderr, done.returncode, code)


def jvp(*words: str, code: int = 0) -> tuple[str, str]:
    """The same in this process, which has all imported."""
    with (
        mock.patch.dict(os.environ, OURS, clear=True),
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        done = main(words)
    return harmless(words, out.getvalue(), err.getvalue(), done, code)


def harmless(words: tuple[str, ...], out: str, err: str, done: int, code: int) -> tuple[str, str]:
    assert done == code, (words, out, err)
    assert "Traceback" not in err
    assert "not-to-be-shown" not in out + err
    return out, err


@pytest.fixture
def names(plain_bench: Bench, leftovers: None, tmp_path: Path) -> dict[str, str]:
    image = tmp_path / "image"
    image.write_bytes(IMAGE)
    prefix = plain_bench.name("cli")
    return {"P": prefix, "CIDR": plain_bench.cidr(), "IMAGE": str(image), "FOLDER": f"{plain_bench.folder}/{prefix}"}


def test_a_file_of_documents_from_nothing_to_nothing(plain_bench: Bench, names: dict[str, str], tmp_path: Path) -> None:
    file, name = tmp_path / "all.yaml", names["P"]
    file.write_text(DOCUMENTS.format(**names))
    planned, warned = installed("plan", "-f", str(file))
    assert [line[0] for line in planned.splitlines()] == ["+"] * 5, warned
    made, _ = installed("apply", "-f", str(file))
    assert made.splitlines() == [
        f'storage pool "{name}pool" created', f'template "{name}image" created', 'volume "data" created',
        f'network "{name}net" created', f'instance "{name}vm" created',
    ]  # fmt: skip
    assert all(line.startswith("= ") for line in jvp("plan", "-f", str(file))[0].splitlines())
    assert all("is as declared" in line for line in jvp("apply", "-f", str(file))[0].splitlines())

    listed = json.loads(jvp("instance", "list", "--name", f"{name}*", "-o", "json")[0])
    assert [(one["name"], one["state"], one["declaredBy"]) for one in listed] == [(f"{name}vm", "stopped", "cli")]
    attached = jvp("volume", "list", "--pool", f"{name}pool", "--attached", "-o", "name")[0].split()
    assert {f"{name}pool/data", f"{name}pool/jvp-{listed[0]['id']}-root"} <= {*attached}
    shown = yaml.safe_load(jvp("instance", "show", f"{name}vm", "-o", "yaml")[0])
    assert (shown["id"], shown["memory"], shown["shutdownTimeout"]) == (listed[0]["id"], "32MiB", "7s")
    # What is there is a document that changes nothing, whoever has it.
    for kind, reference in (("instance", f"{name}vm"), ("volume", f"{name}pool/data"), ("pool", f"{name}pool"),
                            ("network", f"{name}net"), ("template", f"{name}pool/{name}image")):  # fmt: skip
        document = tmp_path / f"{kind}.yaml"
        document.write_text(jvp("export", kind, reference)[0])
        assert jvp("plan", "-f", str(document))[0].startswith("= "), document.read_text()

    assert jvp("instance", "start", f"{name}vm")[0] == f'instance "{name}vm": running\n'
    assert jvp("instance", "stop", f"{name}vm", "--force")[0] == f'instance "{name}vm": stopped\n'
    gone = [line.rpartition(" ")[2] for line in installed("delete", "-f", str(file))[0].splitlines()]
    assert gone == ["deleted"] * 5
    assert all(line.endswith("is not there") for line in jvp("delete", "-f", str(file))[0].splitlines())


def test_an_image_of_this_machine_is_a_file(
    plain_bench: Bench, names: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, right = f"{names['P']}pool", hashlib.sha256(IMAGE).hexdigest()
    jvp("pool", "create", place, "--path", names["FOLDER"])
    monkeypatch.chdir(tmp_path)
    try:
        create = ("template", "create", f"{place}/t", "--file", "./image")
        _, said = jvp(*create, "--sha256", "0" * 64, code=exits.USAGE)
        assert said.startswith(f"jvp: source.path: the image's checksum does not match: expected sha256:{'0' * 64}")
        assert "source.path: is given twice" in jvp(*create, "--source", "path=/x", code=exits.USAGE)[1]
        assert "source.path: there is no file" in jvp(*create[:-1], "other", code=exits.NOT_FOUND)[1]
        assert "standard input is none" in jvp(*create[:-1], "-", code=exits.USAGE)[1]
        jvp(*create, "--sha256", right.upper(), "--source", "format=raw")
        made = json.loads(jvp("template", "show", f"{place}/t", "-o", "json")[0])
        assert (made["source"]["path"], made["source"]["checksum"]) == (names["IMAGE"], f"sha256:{right}")
        assert Path(made["path"]).read_bytes() == IMAGE
        again = jvp("template", "set", f"{place}/t", *create[3:], "--sha256", right, "--source", "format=raw")[0]
        assert again == f'template "{place}/t" is as declared\n'
        jvp("volume", "create", f"{place}/v", "--file", "image", "--format", "raw")
        assert json.loads(jvp("volume", "show", f"{place}/v", "-o", "json")[0])["imagePath"] == names["IMAGE"]
        jvp("volume", "delete", f"{place}/v")
        jvp("template", "delete", f"{place}/t")
    finally:
        jvp("pool", "delete", place)


def test_single_objects_by_options(plain_bench: Bench, names: dict[str, str], tmp_path: Path) -> None:
    name, connection = names["P"], plain_bench.connection
    jvp("pool", "create", f"{name}pool", "--path", names["FOLDER"])
    try:
        jvp("volume", "create", f"{name}pool/v", "--size", "2MiB")
        assert "size: 2MiB -> 3MiB (live)" in jvp("volume", "set", f"{name}pool/v", "--size", "3MiB", "--plan")[0]
        assert jvp("volume", "set", f"{name}pool/v", "--size", "3MiB")[0] == f'volume "{name}pool/v" changed: size\n'
        _, said = jvp("volume", "set", f"{name}pool/v", "--format", "raw", code=exits.REFUSED)
        assert "would have to be made anew to change in format, which is not done unasked" in said
        seed = tmp_path / "seed.yaml"
        seed.write_text("hostname: guest\nusers: [{name: u, password: not-to-be-shown}]\n")
        words = ("--root-disk", f"pool={name}pool,size=1MiB", "--memory", "32MiB", "--power-state", "stopped",
                 "--nic", "name=eth0", "--cloud-init", f"@{seed}")  # fmt: skip
        jvp("instance", "create", f"{name}vm", *words)
        domain = connection.lookupByName(f"{name}vm")
        assert jvp("instance", "set", f"{name}vm", "--cpus", "2")[0].startswith(f'instance "{name}vm" changed: cpus')
        assert "<vcpu placement='static'>2</vcpu>" in domain.XMLDesc(2)
        # What is not said stays: the seed with its password, too.
        assert jvp("instance", "set", f"{name}vm", "--cpus", "2")[0] == f'instance "{name}vm" is as declared\n'
        assert domain.UUIDString() in jvp("instance", "xml", f"{name}vm")[0]
        renamed = jvp("instance", "set", f"{name}vm", "--name", f"{name}other")[0]
        assert renamed == f'instance "{name}vm" changed: name\n'
        assert domain.UUIDString() == connection.lookupByName(f"{name}other").UUIDString()
        jvp("instance", "delete", f"{name}other")
        jvp("volume", "delete", f"{name}pool/v")
    finally:
        jvp("pool", "delete", f"{name}pool")


def test_what_others_have_is_shown_and_left_alone(plain_bench: Bench, names: dict[str, str]) -> None:
    name = names["P"]
    domain, network = (make(plain_bench, {"name": name}) for make in (foreign_domain, foreign_network))
    made = plain_bench.create("Network", name, {"name": f"{name}ours", "cidr": names["CIDR"]}).stored
    before = domain.XMLDesc(2), network.XMLDesc(0)
    try:
        for words in (("instance", "delete"), ("network", "delete"), ("network", "set", "--no-autostart")):
            assert jvp(words[0], "list", "--no-ours", "--name", name, "-o", "name")[0] == f"{name}\n"
            _, said = jvp(*words, name, code=exits.REFUSED)
            assert "not one that jvp made" in said
        assert (domain.XMLDesc(2), network.XMLDesc(0)) == before
        _, said = jvp("network", "delete", f"{name}ours", code=exits.REFUSED)
        assert "declared by an engine, name not recorded" in said
        jvp("network", "delete", name, "--force")
    finally:
        domain.undefine()
        plain_bench.delete("Network", made)
    assert name not in [one.name() for one in plain_bench.connection.listAllNetworks(0)]


def test_an_address_that_nothing_listens_on_has_its_own_code() -> None:
    _, said = installed("instance", "list", code=exits.UNREACHABLE, JVP_URI="qemu+tcp://127.0.0.1:1/system")
    assert said.startswith("jvp: cannot connect to")
    _, said = jvp("instance", "show", "no-such-instance", code=exits.NOT_FOUND)
    assert said.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    command = f"'{JVP}' network list | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("N", "")
