"""A scene tried again and again, with something going wrong at every call."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests import extent

from faults.forks import Reply
from faults.scenes import Scene, Stage
from hosts.inventory import difference, inventory, remove
from jvp.core.stored import Stored

LONG = {
    "virConnect": "restoreFlags",
    "virDomain": "attachDeviceFlags blockCommit blockJobAbort blockResize create createWithFlags destroy destroyFlags "
    "detachDevice detachDeviceAlias detachDeviceFlags managedSaveRemove snapshotCreateXML updateDeviceFlags",
    "virNetwork": "create destroy",
    "virStoragePool": "build create createXML createXMLFrom refresh",
    "virStorageVol": "delete resize wipe",
    "virStream": "finish",
}
"""Calls that libvirtd works on while the next process may begin. The others are over before anybody comes."""
NOWHERE = "never:0"
SHARE = 0.34
"""How much of a verb's kill points a run of `make test` tries."""
_BRIDGE_MAC = re.compile(r"<mac address='[^']*'/>")
_DRAWN = re.compile(r' (boot|created)="[-:0-9TZa-f]+"')
_MEMORY = re.compile(r"-memory[0-9a-f]{12}$")
_DEFINITION = re.compile(r"file \S+/etc/qemu/[^/]+\.xml")


@dataclass
class Trial:
    """One scene, with what the node holds without it."""

    stage: Stage
    scene: Scene
    points: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.forks, self.token, self.key = self.stage.forks, self.scene.token, self.scene.key
        self.inputs = self.forks("check", self.token, dict(self.scene.properties))
        self.bare = self.inventory()

    def inventory(self) -> dict[str, str]:
        host = self.stage.host
        found = inventory(host.uri, host.pools, host.folder / "etc")
        return {name: _without_numbers(name, text) for name, text in found.items()}

    def create(self) -> Stored:
        """Make it as an engine does, which has it in the state afterwards."""
        result = self.forks("create", self.token, self.key, self.inputs)
        assert not result.reasons, result.reasons
        return self.read(result.stored)

    def read(self, stored: Stored) -> Stored:
        found = self.forks("read", self.token, stored)
        assert found is not None, "gone"
        assert isinstance(found, Stored)
        return found

    def delete(self, stored: Stored) -> None:
        self.forks("delete", self.token, stored)
        assert self.forks("read", self.token, stored) is None, "still there after a delete"
        self.same(self.bare, "after the delete")

    def converge(self, stored: Stored, inputs: dict[str, Any]) -> Stored:
        """An `up` over what is in the state: read, plan, update, and then there is nothing to do."""
        found = self.forks("read", self.token, stored)
        if found is None:
            found = self.forks("create", self.token, self.key, inputs).stored
        elif (plan := self.forks("diff", self.token, found, inputs)).replaces:
            self.forks("delete", self.token, found)
            found = self.forks("create", self.token, self.key, inputs).stored
        elif plan.changes or found.unfinished:
            found = self.forks("update", self.token, found, inputs).stored
        found = self.read(found)
        changes = self.forks("diff", self.token, found, inputs).changes
        assert not changes, f"not converged: {changes}"
        assert isinstance(found, Stored)
        return found

    def same(self, wanted: dict[str, str], when: str, *, but: str = "\0") -> None:
        """The node is as wanted. `but` is in the names of what may also be there: a superseded generation of a
        template, which stays on record and goes at the next occasion."""
        now = self.inventory()
        found = difference(wanted, {name: text for name, text in now.items() if name in wanted or but not in name})
        assert found == "", f"{when}:\n{found}"

    def sweep(self) -> None:
        """Take away what a failed point left, so that the next begins clean."""
        left = [name for name in self.inventory() if name not in self.bare]
        remove(self.stage.host.uri, left)

    def every(
        self,
        verb: Callable[[str], Reply],
        then: Callable[[str], None],
        ready: Callable[[], None],
        share: float = SHARE,
    ) -> None:
        """Die at every call of a verb (or at a sample of them), and each time let `then` go on, told the place.

        Dying before a call is dying after the one ahead of it, so only the first has a "before" of its own.
        """
        ready()
        uncut = verb(NOWHERE)
        uncut.value()
        then(NOWHERE)
        calls = uncut.calls
        places = ["before:1", *(f"after:{number}" for number in range(1, len(calls) + 1))]
        places += [f"during:{number}" for number, name in enumerate(calls, 1) if _is_long(name)]
        for place in extent.sample(places, f"{self.scene.name} {uncut.calls}", share=share):
            ready()
            reply = verb(place)
            # What libvirtd makes of two calls at once may save a third; what is not there cannot be died at.
            assert reply.killed or len(reply.calls) < int(place.partition(":")[2]), f"{place}: {reply}"
            try:
                then(place)
            except AssertionError as error:
                self.wrong.append(f"{self.scene.name}, killed {place} of {reply.calls}: {error}")
                self.sweep()
            self.points += reply.killed
        tried = f"{self.points} of {len(places)} kill points"
        print(f"\n{self.scene.name}: {tried}, {len(self.wrong)} went wrong; calls {calls}")
        assert not self.wrong, "\n\n".join(self.wrong)


def _is_long(call: str) -> bool:
    kind, _, name = call.partition(".")
    return name in LONG.get(kind, "").split()


def _without_numbers(name: str, text: str) -> str:
    """What `inventory` says of one thing without what libvirt counts or draws anew each time: the MAC of a network's
    bridge, the number of a guest's run, which stands in our note and so in the length of its file, and how much memory
    was in use."""
    if _MEMORY.search(name):
        return ""
    if name.startswith("network "):
        return _BRIDGE_MAC.sub("", text)
    if name.startswith("domain "):
        return _DRAWN.sub("", text)
    return text.partition(" ")[0] if _DEFINITION.fullmatch(name) else text
