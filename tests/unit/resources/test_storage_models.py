"""What pools, volumes and templates may be declared with, and what a plan says of them; needs no daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jvp.core.calls import Calls
from jvp.core.check import check
from jvp.core.errors import dotted
from jvp.core.facts import Effect
from jvp.core.stored import Stored
from jvp.core.values import UNKNOWN
from jvp.core.work import Work
from jvp.libvirt.link.node import Node
from jvp.libvirt.storage import templates
from jvp.resources.storage.pool import StoragePool, StoragePools
from jvp.resources.storage.template import Template, Templates
from jvp.resources.storage.volume import Volume, Volumes

CALLS = Calls({one.token: one(Node("test:///none")) for one in (StoragePools, Volumes, Templates)}, {})
SHA = "sha256:" + 64 * "a"
POOL = "11111111-1111-5111-8111-111111111111"


def failures(model: Any, **raw: Any) -> dict[str, str]:
    return {dotted(failure.path): failure.message for failure in check(model, raw).failures}


@pytest.mark.parametrize(
    ("model", "raw", "path", "says"),
    [
        (StoragePool, {"path": "var/lib"}, "path", "is not an absolute path"),
        (StoragePool, {"path": "~/images"}, "path", "begins with ~, which only a shell resolves; write the whole path"),
        (StoragePool, {"path": "/proc"}, "path", "holds no files but the kernel's own"),
        (StoragePool, {"path": "//proc/./self/"}, "path", "holds no files but the kernel's own"),
        (StoragePool, {"path": "/sys/fs/cgroup"}, "path", "holds no files but the kernel's own"),
        (Volume, {"pool": "p", "imagePath": "~/x.img"}, "imagePath", "begins with ~"),
        (Volume, {"pool": "p", "imagePath": "~ann/x.img"}, "imagePath", "begins with ~"),
        (Template, {"name": "t", "pool": "p", "source": {"path": "~/x.img"}}, "source.path", "begins with ~"),
        (Volume, {"pool": "p", "volume": "~/x.img"}, "volume", "begins with ~"),
        (StoragePool, {"path": "/a/../b"}, "path", 'must not contain ".."'),
        (StoragePool, {"path": "//"}, "path", "not the root"),
        (StoragePool, {"name": "a/b"}, "name", "is not a name"),
        (StoragePool, {"deleteData": "maybe"}, "deleteData", "must be true or false"),
        (StoragePool, {"pth": "/a"}, "pth", 'did you mean "path"?'),
        (StoragePool, {"type": "lvm"}, "type", '"lvm" is no type of pool: take dir or fs'),
        (StoragePool, {"type": "fs"}, "source", 'is required for a pool of the type "fs"'),
        (
            StoragePool,
            {"source": {"device": "/dev/a"}},
            "source",
            'is for a pool of the type "fs"; set `type`, or leave',
        ),
        (StoragePool, {"type": "dir", "source": {"device": "/dev/a"}}, "source", 'is for a pool of the type "fs"'),
        (StoragePool, {"type": "fs", "source": {}}, "source.device", "is required"),
        (StoragePool, {"type": "fs", "source": {"device": "sda"}}, "source.device", "is not an absolute path"),
        (
            StoragePool,
            {"type": "fs", "source": {"device": "/dev/a", "format": "ntfs"}},
            "source.format",
            "must be one of",
        ),
        (Volume, {"size": "1GiB"}, "pool", "is required"),
        (Volume, {"pool": "p"}, "size", "is required for a volume without a template"),
        (Volume, {"pool": "p", "template": "t", "volume": "p/v"}, "volume", "cannot stand beside template"),
        (Volume, {"pool": "p", "volume": "p/v", "imagePath": "/i"}, "imagePath", "cannot stand beside volume"),
        (Volume, {"pool": "p", "volume": ""}, "volume", "must not be empty"),
        (Volume, {"pool": "p", "imageUrl": "http://x/y", "volume": "p/v"}, "imageUrl", "cannot stand beside volume"),
        (Volume, {"pool": "p", "size": "1GiB", "imageChecksum": SHA}, "imageChecksum", "without imageUrl or imagePath"),
        (Volume, {"pool": "p", "snapshot": "i/s", "volume": "p/v"}, "snapshot", "cannot stand beside volume"),
        (Volume, {"pool": "p", "size": "1GiB", "disk": "data"}, "disk", "means nothing without a snapshot"),
        (Volume, {"pool": "p", "imagePath": "a\nb"}, "imagePath", "control characters"),
        (Volume, {"pool": "p", "imagePath": ""}, "imagePath", "must not be empty"),
        (Volume, {"pool": "p", "size": "2049TiB"}, "size", "more than the 2048TiB that a qcow2 image can have"),
        (Volume, {"pool": "p", "volume": "p/v", "fullClone": True}, "fullClone", "means nothing without a template"),
        (Volume, {"pool": "p", "size": "1GiB", "path": "/i"}, "path", 'did you mean "imagePath"?'),
        (Volume, {"pool": "p", "size": "10"}, "size", "write it with a unit"),
        (Volume, {"pool": "p", "size": "1GiB", "format": "vmdk"}, "format", "must be one of 'qcow2' or 'raw'"),
        (Volume, {"pool": "p", "size": "1GiB", "fullClone": True}, "fullClone", "means nothing without a template"),
        (Volume, {"pool": "p", "size": "1GiB", "name": "jvp-template-x-0123456789ab"}, "name", "templates have"),
        (Template, {"pool": "p"}, "source", "is required"),
        (Template, {"pool": "p", "source": {"path": "/a"}, "os": "x" * 101}, "os", "at most 100"),
        (Template, {"pool": "p", "source": {"path": "/a"}, "os": "a\nb"}, "os", "control characters"),
        (Template, {"pool": "p", "source": {}}, "source", "exactly one of path and url"),
        (
            Template,
            {"pool": "p", "source": {"upload": "b"}},
            "source.upload",
            "must be the checksum of an",
        ),
        (Template, {"pool": "p", "source": {"upload": SHA, "url": "http://x/y"}}, "source.url", "beside upload"),
        (Template, {"pool": "p", "source": {"volume": "p/v", "snapshot": "i/s"}}, "source", "exactly one"),
        (Template, {"pool": "p", "source": {"volume": "p/v", "path": "/a"}}, "source", "exactly one"),
        (Template, {"pool": "p", "source": {"volume": "p/v", "disk": "d"}}, "source.disk", "without a snapshot"),
        (Template, {"pool": "p", "source": {"volume": "p/v", "checksum": SHA}}, "source.checksum", "for a volume"),
        (
            Template,
            {"pool": "p", "source": {"upload": SHA, "checksum": SHA}},
            "source.checksum",
            "means nothing beside",
        ),
        (Volume, {"pool": "p", "imageUpload": SHA, "template": "t"}, "imageUpload", "cannot stand beside template"),
        (Volume, {"pool": "p", "imageUpload": "sha256:x"}, "imageUpload", "64 hexadecimal digits"),
        (Template, {"pool": "p", "source": {"path": "/a", "url": "http://x/y"}}, "source", "exactly one"),
        (Template, {"pool": "p", "source": {"url": "ftp://x/y"}}, "source.url", "must begin with http"),
        (Template, {"pool": "p", "source": {"url": "http://[bad"}}, "source.url", "is not a valid URL"),
        (Template, {"pool": "p", "source": {"url": "http://h:99999/x"}}, "source.url", "ports go from 1 to 65535"),
        (Template, {"pool": "p", "source": {"url": "http://h:0/x"}}, "source.url", "ports go from 1 to 65535"),
        (Template, {"pool": "p", "source": {"url": "http://a..b/x"}}, "source.url", '"a..b" is not the name of a host'),
        (Template, {"pool": "p", "source": {"url": "http://a/b c"}}, "source.url", "has a space in it"),
        (Template, {"pool": "p", "source": {"path": ""}}, "source.path", "must not be empty"),
        (
            Template,
            {"pool": "p", "source": {"path": "/a", "checksum": "sha256:http://x:0/S"}},
            "source.checksum",
            "ports",
        ),
        (Template, {"pool": "p", "source": {"url": "https://"}}, "source.url", "names no host"),
        (Template, {"pool": "p", "source": {"url": "http:///x"}}, "source.url", "names no host"),
        (Template, {"pool": "p", "source": {"path": "/a", "checksum": "md5:1"}}, "source.checksum", "sha256 or sha512"),
        (Template, {"pool": "p", "source": {"path": "/a", "checksum": "md5:http://x/S"}}, "source.checksum", "'md5'"),
        (
            Template,
            {"pool": "p", "source": {"path": "/a", "allowPrivateRedirects": True}},
            "source.allowPrivateRedirects",
            "means nothing for a file",
        ),
    ],
)
def test_what_is_refused_offline(model: Any, raw: dict[str, Any], path: str, says: str) -> None:
    found = failures(model, **raw)
    assert list(found) == [path]
    assert says in found[path]


@pytest.mark.parametrize(
    ("model", "raw"),
    [
        (StoragePool, {}),
        (StoragePool, {"name": UNKNOWN, "path": UNKNOWN}),
        (StoragePool, {"type": UNKNOWN, "source": {"device": "/dev/a"}}),
        (StoragePool, {"type": "fs", "source": UNKNOWN}),
        (StoragePool, {"type": "fs", "source": {"device": UNKNOWN, "format": UNKNOWN}}),
        (Volume, {"pool": UNKNOWN, "size": UNKNOWN}),
        (Volume, {"pool": "p", "volume": UNKNOWN}),
        (Volume, {"pool": "p", "imagePath": UNKNOWN}),
        (Volume, {"pool": "p", "template": UNKNOWN, "fullClone": UNKNOWN, "name": UNKNOWN}),
        # What is not known yet may turn out to be nothing.
        (Volume, {"pool": "p", "template": UNKNOWN, "volume": UNKNOWN, "imagePath": "/i"}),
        (Template, {"pool": "p", "source": {"path": UNKNOWN, "url": UNKNOWN}}),
        (Template, {"pool": "p", "source": {"path": "/a", "url": UNKNOWN}}),
        (Template, {"pool": UNKNOWN, "source": UNKNOWN}),
        (Template, {"pool": "p", "source": {"path": UNKNOWN}, "os": UNKNOWN}),
        (Template, {"pool": "p", "source": {"url": UNKNOWN, "checksum": UNKNOWN}}),
        (Template, {"pool": "p", "source": {"url": "http://x/y", "checksum": "sha512:https://x/SHA512SUMS"}}),
    ],
)
def test_what_passes_offline(model: Any, raw: dict[str, Any]) -> None:
    assert failures(model, **raw) == {}


def volume_state(**more: Any) -> Stored:
    inputs = {"name": "v", "pool": "p", "size": "1GiB", "template": "q/t", "format": "qcow2"}
    inputs |= {"fullClone": False, "detachOnDelete": True}
    outputs = {"path": "/p/v", "sizeBytes": 2**30, "poolName": "p", "poolUuid": POOL, "nonce": "n"}
    outputs |= {"templateId": f"{POOL[:-1]}2/t", "templatePool": "q"}
    return Stored(f"{POOL}/v", inputs, {**inputs, **outputs, **more})


@pytest.mark.parametrize(
    ("change", "effect"),
    [
        ({"size": "1024MiB"}, None),
        ({"size": "2GiB"}, Effect.LIVE),
        ({"pool": POOL}, None),
        ({"pool": "other"}, Effect.REPLACE),
        ({"template": "t"}, None),
        ({"template": f"{POOL[:-1]}2/t"}, None),
        ({"template": "u"}, Effect.REPLACE),
        ({"template": "p/t"}, Effect.REPLACE),
        ({"format": "raw"}, Effect.REPLACE),
        ({"fullClone": True}, Effect.REPLACE),
        ({"name": "w"}, Effect.REPLACE),
        ({"detachOnDelete": False}, Effect.LIVE),
    ],
)
def test_how_a_volume_changes(change: dict[str, Any], effect: Effect | None) -> None:
    stored = volume_state()
    inputs = check(Volume, {**stored.inputs, **change}).inputs
    assert [one.effect for one in CALLS.diff("Volume", stored, inputs).changes] == ([] if effect is None else [effect])


@pytest.mark.parametrize(
    ("change", "effect"),
    [
        ({"volume": "r/w"}, None),
        ({"volume": f"{POOL[:-1]}3/w"}, None),
        ({"volume": "r/x"}, Effect.REPLACE),
        ({"imagePath": "/j"}, Effect.REPLACE),
        ({"imagePath": "/i"}, None),
    ],
)
def test_what_a_volume_was_made_from_does_not_change(change: dict[str, Any], effect: Effect | None) -> None:
    inputs = {"name": "v", "pool": "p", "size": "1GiB", "format": "raw", "fullClone": False, "detachOnDelete": True}
    made = {"volume": "r/w"} if "volume" in change else {"imagePath": "/i"}
    origin = {"volumeId": f"{POOL[:-1]}3/w", "volumePool": "r"} if "volume" in change else {}
    stored = Stored(f"{POOL}/v", {**inputs, **made}, {**inputs, **made, **origin, "sizeBytes": 2**30, "path": "/p/v"})
    new = check(Volume, {**inputs, **change}).inputs
    assert [one.effect for one in CALLS.diff("Volume", stored, new).changes] == ([] if effect is None else [effect])


def test_previews_of_volumes() -> None:
    inputs = check(Volume, {"name": "v", "pool": "p", "size": "1000kB"}).inputs
    bag = CALLS.preview_create("Volume", inputs, Work())
    assert bag["sizeBytes"] == 1_000_448
    assert bag["poolName"] == "p"
    assert bag["path"] is UNKNOWN
    stored = volume_state()
    warnings: list[str] = []
    grown = CALLS.preview_update("Volume", stored, {**stored.inputs, "size": "2GiB"}, Work(warn=warnings.append))
    assert (grown["sizeBytes"], grown["path"], warnings) == (2**31, "/p/v", [])
    CALLS.preview_update("Volume", stored, {**stored.inputs, "size": "512MiB"}, Work(warn=warnings.append))
    assert "cannot shrink" in warnings[0]


def test_previews_of_pools() -> None:
    checked = check(StoragePool, {"name": "p"})
    inputs = checked.inputs
    bag = CALLS.preview_create("StoragePool", inputs, Work())
    assert (bag["path"], bag["state"], bag["type"]) == ("/var/lib/jvp/p", "running", "dir")
    assert bag["uuid"] is UNKNOWN
    state = {**checked.whole, "path": "/a/b", "state": "running"}
    stored = Stored(POOL, inputs, state)
    assert CALLS.diff("StoragePool", stored, check(StoragePool, {"name": "p", "path": "/a//b/"}).inputs).changes == ()
    assert CALLS.diff("StoragePool", stored, check(StoragePool, {"name": "p", "path": "/a"}).inputs).replaces
    (change,) = CALLS.diff("StoragePool", stored, check(StoragePool, {"name": "p", "deleteData": True}).inputs).changes
    assert (change.path, change.effect) == (("deleteData",), Effect.LIVE)
    stopped = check(StoragePool, {"name": "p", "active": False}).inputs
    assert CALLS.preview_update("StoragePool", stored, stopped, Work())["state"] == "inactive"


def test_session_folder_is_asked_for_where_it_cannot_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/home/joe/data")
    assert StoragePools(Node("qemu:///session"))._default_path("p") == "/home/joe/data/jvp/p"
    with pytest.raises(Exception, match="is required on another host"):
        StoragePools(Node("qemu+ssh://joe@host/session"))._default_path("p")


def test_local_file_is_digested_in_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "image"
    raw = {"name": "t", "pool": "p", "source": {"path": str(path)}}
    missing = check(Template, raw)
    assert missing.failures == ()
    assert "digest" not in missing.inputs["source"]
    path.write_bytes(b"one")
    first = check(Template, raw).inputs
    path.write_bytes(b"another")
    second = check(Template, raw).inputs
    assert first["source"]["digest"] != second["source"]["digest"]
    bag = CALLS.preview_create("Template", first, Work())
    assert bag["digest"] == first["source"]["digest"]
    assert bag["volumeName"] == templates.volume_name("t", bag["digest"])
    state = {**check(Template, first).whole, "digest": bag["digest"], "poolName": "p", "poolUuid": POOL}
    stored = Stored(f"{POOL}/t", first, state)
    assert [one.path for one in CALLS.diff("Template", stored, second).changes] == [("source", "digest")]
    path.unlink()
    assert CALLS.diff("Template", stored, missing.inputs).changes == ()
    assert CALLS.diff("Template", stored, {**first, "pool": POOL}).changes == ()


@pytest.mark.parametrize(
    ("volume", "names"),
    [
        ("jvp-template-debian-0123456789ab", ("debian", "0123456789ab")),
        ("jvp-template-a-0123456789ab-0123456789ab", ("a-0123456789ab", "0123456789ab")),
        ("jvp-template-debian", None),
        ("jvp-template-debian-0123456789AB", None),
        ("debian", None),
    ],
)
def test_names_of_template_volumes(volume: str, names: tuple[str, str] | None) -> None:
    assert templates.parsed_name(volume) == names
    if names is not None:
        assert templates.volume_name(*names) == volume


def test_records_from_an_older_or_newer_program_are_read() -> None:
    from jvp.core.identity import Mark
    from jvp.libvirt.storage.volume_record import Sidecar

    record = templates.Record("b", current="1", superseded=("2",))
    kept = Sidecar("template", Mark("k", 0), "whole", facts={**record.facts(), "unheard": 1})
    assert templates.Record.of(kept) == record
    assert templates.Record.of(kept.having(facts={})).current == ""
