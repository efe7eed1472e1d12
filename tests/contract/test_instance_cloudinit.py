"""The cloud-init disk on a real pool."""

from __future__ import annotations

from tests.contract.conftest import Bench

from jvp.core.work import Work
from jvp.libvirt.storage.streams import read_small
from jvp.resources.instance.nocloud import content_of
from jvp.resources.instance.storage import seed_name


def test_a_seed_of_any_length_is_written_whole_and_its_content_is_secret(bench: Bench) -> None:
    assert bench.pool is not None
    name = bench.name("seed")
    content = "not-to-be-shown\n" * 40_000
    raw = {
        "name": name, "powerState": "stopped", "memory": "32MiB", "rootDisk": {"pool": bench.pool.id, "size": "1MiB"},
        "cloudInit": {"files": [{"path": "/a", "content": content}], "packages": ["nginx"], "runCommands": ["true"],
                      "networkConfig": "version: 2\n"},
    }  # fmt: skip
    stored = bench.create("Instance", name, raw).stored
    try:
        assert "not-to-be-shown" not in repr(stored)
        spec = bench.calls.check("Instance", raw).spec
        assert spec is not None
        assert spec.cloud_init is not None
        volume = bench.connection.storagePoolLookupByUUIDString(bench.pool.id).storageVolLookupByName(
            seed_name(stored.id)
        )
        wanted = content_of(stored.id, name, spec.cloud_init)
        assert read_small(bench.connection, volume, len(wanted)) == wanted
        stored = bench.converged("Instance", stored, raw)
        raw["cloudInit"]["files"] = [{"path": "/b", "content": "short"}]
        stored = bench.converged("Instance", bench.update("Instance", stored, raw).stored, raw)
        volume = bench.connection.storageVolLookupByPath(volume.path())
        assert b"not-to-be-shown" not in read_small(bench.connection, volume, 2**20)
    finally:
        bench.delete("Instance", stored)


def test_a_machine_that_is_imported_again_keeps_the_disk_that_nobody_declares(bench: Bench) -> None:
    """Its state was lost: what its cloud-init disk was made from, an import cannot know."""
    assert bench.pool is not None
    name = bench.name("again")
    raw = {
        "name": name, "powerState": "stopped", "memory": "32MiB", "rootDisk": {"pool": bench.pool.id, "size": "1MiB"},
        "cloudInit": {"hostname": "kept"},
    }  # fmt: skip
    stored = bench.create("Instance", name, raw).stored
    try:
        assert bench.read("Instance", stored) is not None
        found = bench.calls.import_("Instance", name, Work())
        assert found is not None
        changed = {**found.inputs, "autostart": True}
        assert bench.plan("Instance", found, changed) == ["autostart"]
        found = bench.converged("Instance", bench.update("Instance", found, changed).stored, changed)
        xml = bench.connection.lookupByName(name).XMLDesc(2)
        assert seed_name(stored.id) in xml
        # Declared again it is ours again, and goes when it is taken out.
        for more, there in (({"cloudInit": {"hostname": "kept"}}, True), ({}, False)):
            declared = {**changed, **more}
            found = bench.converged("Instance", bench.update("Instance", found, declared).stored, declared)
            assert (seed_name(stored.id) in bench.connection.lookupByName(name).XMLDesc(2)) is there
    finally:
        bench.delete("Instance", stored)
