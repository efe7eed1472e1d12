"""An object with the id of ours and without our mark: made anew by somebody, or unmarked. No delete takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Bench
from tests.contract.kinds import KINDS, Kind

from jvp.core.errors import NameTaken, NotFound, Rejected
from jvp.core.stored import Stored
from jvp.core.work import Work
from jvp.libvirt.link import marks
from jvp.libvirt.link.xml import parse, text_of

ONE_OF_EACH = [kind for kind in KINDS if kind.id in ("network", "firewall", "pool", "stopped instance")]
DOMAIN = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>32</memory>
<os><type>hvm</type></os></domain>"""
NETWORK = "<network><name>{name}</name><uuid>{uuid}</uuid><bridge name='v{short}'/></network>"
FIREWALL = "<filter name='{name}'><uuid>{uuid}</uuid></filter>"
POOL = "<pool type='dir'><name>{name}</name><uuid>{uuid}</uuid><target><path>{folder}/theirs</path></target></pool>"


class There:
    """The object of a kind on the node."""

    def __init__(self, bench: Bench, token: str, stored: Stored) -> None:
        self.connection, self.folder, self.token = bench.connection, bench.folder, token
        self.uuid, self.name = stored.id, stored.state["name"]

    def look(self) -> Any:
        found = {
            "Network": self.connection.networkLookupByUUIDString,
            "Firewall": self.connection.nwfilterLookupByUUIDString,
            "StoragePool": self.connection.storagePoolLookupByUUIDString,
            "Instance": self.connection.lookupByUUIDString,
        }
        return found[self.token](self.uuid)

    def xml(self) -> str:
        return str(self.look().XMLDesc({"Network": 1, "Firewall": 0, "StoragePool": 1, "Instance": 2}[self.token]))

    def define(self, text: str) -> None:
        {
            "Network": self.connection.networkDefineXML,
            "Firewall": self.connection.nwfilterDefineXML,
            "StoragePool": self.connection.storagePoolDefineXML,
            "Instance": self.connection.defineXML,
        }[self.token](text)

    def undefine(self) -> None:
        there = self.look()
        if self.token != "Firewall" and there.isActive():
            there.destroy()
        there.undefine()

    def remake(self) -> None:
        """As somebody does who knows the name and the id."""
        self.undefine()
        form = {"Network": NETWORK, "Firewall": FIREWALL, "StoragePool": POOL, "Instance": DOMAIN}[self.token]
        self.define(form.format(name=self.name, uuid=self.uuid, short=self.uuid[:9], folder=self.folder))

    def unmark(self) -> None:
        """As somebody does who edits the definition."""
        root = parse(self.xml())
        if self.token == "StoragePool":
            source = root.find("source")
            assert source is not None
            source.clear()
        elif self.token == "Firewall":
            for rule in [one for one in root.iterfind("rule") if one.get("action") == "continue"]:
                root.remove(rule)
        else:
            marks.drop(root)
        self.define(text_of(root))


@pytest.fixture(params=ONE_OF_EACH, ids=lambda kind: kind.id)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def raw(bench: Bench, kind: Kind) -> dict[str, Any]:
    return kind.minimal(bench, bench.name("remade"))


@pytest.fixture
def stored(bench: Bench, kind: Kind, raw: dict[str, Any]) -> Stored:
    made = bench.create(kind.token, raw["name"], raw).stored
    found = bench.read(kind.token, made)
    assert found is not None
    return found


def _said(warned: list[str], stored: Stored, words: str) -> None:
    """One sentence of the object, and one of the root disk that is left of ours."""
    first, *rest = warned
    warned.clear()
    assert words in first
    disk = stored.state.get("rootDiskPath")
    assert [disk in line and "no program has it any more" in line for line in rest] == ([True] if disk else [])


def test_one_that_was_made_anew_is_somebodys(bench: Bench, kind: Kind, raw: dict[str, Any], stored: Stored) -> None:
    there, warned = There(bench, kind.token, stored), list[str]()
    ours = there.xml()
    there.remake()
    theirs = there.xml()
    work = Work(warn=warned.append)
    assert bench.calls.read(kind.token, stored, work) is None
    _said(warned, stored, "another one has its id and bears no mark of jvp: that is left alone")
    with pytest.raises(NotFound, match="refresh the state and run again"):
        bench.update(kind.token, stored, kind.changed(raw))
    with pytest.raises(NameTaken, match="which this resource did not make"):
        bench.create(kind.token, raw["name"], raw)
    bench.calls.delete(kind.token, stored, work)
    _said(warned, stored, "left alone")
    assert there.xml() == theirs
    there.undefine()
    there.define(ours)
    bench.delete(kind.token, stored)


def test_a_mark_that_was_taken_out_is_put_back_and_until_then_nothing_is_deleted(
    bench: Bench, kind: Kind, raw: dict[str, Any], stored: Stored
) -> None:
    there = There(bench, kind.token, stored)
    there.unmark()
    before = there.xml()
    read = bench.read(kind.token, stored)
    assert read is not None
    what = f'{bench.calls.handlers[kind.token].kind} "{raw["name"]}"'
    assert read.unfinished == (f"{what} bears no mark of jvp any more, and is marked again",)
    assert not [path for path in bench.plan(kind.token, read, raw) if path in ("rootDisk", "template", "name", "path")]
    with pytest.raises(Rejected, match="apply the program once, which marks it again, or delete it by hand"):
        bench.delete(kind.token, read)
    assert there.xml() == before
    stored = bench.update(kind.token, read, raw).stored
    bench.converged(kind.token, stored, raw)
    assert stored.unfinished == ()
    bench.delete(kind.token, stored)
    with pytest.raises(Exception, match=r"not found|no storage pool"):
        there.look()
    if kind.token == "StoragePool":
        Path(raw["path"]).rmdir()  # that we made the folder stood in the mark


def test_an_older_state_does_not_tell_of_the_mark(bench: Bench, kind: Kind, stored: Stored) -> None:
    """An id that was derived tells that it is ours."""
    older = Stored(stored.id, stored.inputs, stored.state, {"schema": 1, "host": stored.private["host"]})
    there = There(bench, kind.token, stored)
    ours = there.xml()
    there.remake()
    theirs = there.xml()
    bench.delete(kind.token, older)
    assert there.xml() == theirs
    there.undefine()
    there.define(ours)
    bench.delete(kind.token, older)
