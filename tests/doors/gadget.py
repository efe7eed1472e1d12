"""A resource and a function over a dictionary, with every kind of fact: what a door is tested with.

`python gadget.py [ENGINE]` serves them as a Pulumi provider, `python gadget.py --terraform` as one for Terraform.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from jvp.core.calls import Calls
from jvp.core.diff import Change, Kind
from jvp.core.errors import Busy, Invalid, JvpError, NameTaken, NoSpace, NotFound, Rejected, Unreachable
from jvp.core.facts import Changes, Computed, Deprecated, Effect, Output, Sensitive, WriteOnly
from jvp.core.handler import Done, Handler, Outcome, Partial
from jvp.core.identity import Key, Mark
from jvp.core.listing import Item
from jvp.core.model import Rule, Spec
from jvp.core.types import Mac, Name, Size, size_bytes
from jvp.core.values import UNKNOWN, Secret, known
from jvp.core.work import Work
from jvp.resources.provider import Provider

ERRORS: dict[str, type[JvpError]] = {
    "invalid": Invalid,
    "missing": NotFound,
    "taken": NameTaken,
    "unreachable": Unreachable,
    "busy": Busy,
    "full": NoSpace,
    "refused": Rejected,
}


class Slot(Spec):
    """A place in a gadget."""

    name: Annotated[Name, Field(description="Unique in the gadget.")]
    mac: Annotated[Mac | None, Computed(), Field(description="Chosen when left out.")] = None
    note: Annotated[str | None, Field(description="Whatever you like.")] = None


class Rack(Spec):
    """Where a gadget stands."""

    room: Annotated[Name, Field(description="Which room.")]
    shelf: Annotated[int | None, Computed(), Field(description="Chosen when left out.")] = None
    side: Annotated[Literal["left", "right"], Field(description="Which side.")] = "left"
    labels: Annotated[list[str] | None, Field(description="Words on it; none are as good as an empty list.")] = None


class Drawer(Spec):
    """A box in a gadget, under a name of its own."""

    width: Annotated[Size, Field(description="How much goes in.")] = "1GiB"
    lock: Annotated[str | None, Computed(), Field(description="Chosen when left out.")] = None
    note: Annotated[str | None, Field(description="Whatever you like.")] = None
    lining: Annotated[str | None, Changes(Effect.REPLACE), Field(description="What it is made of.")] = None
    code: Annotated[Secret[str] | None, Field(description="Hush.")] = None


class Gadget(Spec):
    """A thing that is only in memory."""

    name: Annotated[Name | None, Changes(Effect.REPLACE), Computed(), Field(description="Unique.")] = None
    size: Annotated[Size, Field(description="How big.")] = "1GiB"
    speed: Annotated[int | None, Changes(Effect.NEXT_BOOT), Field(description="How fast.", ge=1)] = None
    mode: Annotated[Literal["fast", "slow"], Field(description="How.")] = "fast"
    home: Annotated[str | None, Changes(Effect.REPLACE), Field(description="Where.")] = None
    slots: Annotated[list[Slot], Field(description="Its places.")] = []
    tags: Annotated[dict[str, str], Field(description="Words.")] = {}
    drawers: Annotated[dict[str, Drawer], Field(description="Its boxes by their names.")] = {}
    rack: Annotated[Rack | None, Field(description="Where it stands.")] = None
    corner: Annotated[str | None, Field(description="Where it is looked for; by default the room of its rack.")] = None
    password: Annotated[Secret[str] | None, WriteOnly(), Field(description="Hush.")] = None
    alias: Annotated[str | None, Deprecated("Use tags."), Field(description="Another name.")] = None
    act: Annotated[str | None, Field(description="What the gadget does next: partial, wait or an error.")] = None

    def rules(self) -> Iterator[Rule]:
        if known(self.speed, self.mode) and self.speed is not None and self.speed > 9 and self.mode == "slow":
            yield ("speed",), "is too fast for a slow gadget"
        names = [slot.name for slot in self.slots if isinstance(slot, Slot)] if known(self.slots) else []
        for index, name in enumerate(names):
            if known(name) and name in names[:index]:
                yield ("slots", index, "name"), f'"{name}" is given twice'

    def derived(self) -> dict[str, Any]:
        if self.corner is not None or self.rack is None:
            return {}
        return {"corner": self.rack.room if isinstance(self.rack, Rack) else UNKNOWN}


class GadgetState(Gadget):
    """A gadget as it is."""

    uuid: Annotated[str, Output(), Field(description="Its id.")]
    size_bytes: Annotated[int, Output(follows=("size",)), Field(description="How big, in bytes.")]
    serial: Annotated[str, Output(), Sensitive(), Field(description="A secret that the host made.")]
    state: Annotated[str | None, Output(follows=("act",)), Field(description="running or idle.")] = None
    weather: Annotated[str | None, Output(), Field(description="Changes by itself.")] = None


class Host:
    """Where gadgets live."""

    def __init__(self) -> None:
        self.gadgets: dict[str, dict[str, Any]] = {}
        self.passwords: dict[str, str | None] = {}
        """What each was told last; no verb tells it again."""
        self.calls: list[str] = []
        self.keys: list[Key] = []
        self.lock = threading.Lock()
        self.weather: str | None = None
        self.damaged: set[str] = set()
        """Those that lack something which no property tells; an update mends them."""
        self.uuid = "the-host"
        self.waking: set[str] = set()
        """Those that are not up yet; an update waits for them."""


class Gadgets(Handler[Gadget, GadgetState]):
    """The verbs of gadgets."""

    kind, token, spec, state = "gadget", "Gadget", Gadget, GadgetState

    def __init__(self, host: Host) -> None:
        self.host = host

    def create(self, work: Work, key: Key, spec: Gadget) -> Outcome[GadgetState]:
        work.check()
        self.host.calls.append("create")
        self.host.keys.append(key)
        uuid = key.uuid(0)
        name = spec.name or key.auto_name(uuid)
        if spec.act in ERRORS:
            raise ERRORS[spec.act](f'the host said "{spec.act}" and mentioned {_text(spec.password)}', path=("act",))
        if spec.act == "defect":
            raise KeyError(_text(spec.password))
        if any(one["name"] == name for one in self.host.gadgets.values()):
            holder = Mark(key.digest, 0, acknowledged=True) if uuid in self.host.gadgets else None
            raise NameTaken(
                f'a gadget "{name}" is there already', path=("name",), kind=self.kind, id=uuid, holder=holder
            )
        if spec.act == "wait":
            for step in range(1000):
                work.status(f"step {step}")
                work.wait(0.02)
        return self._kept(uuid, spec, name, work)

    def _kept(self, uuid: str, spec: Gadget, name: str, work: Work) -> Outcome[GadgetState]:
        bag = spec.model_dump(exclude={"slots", "drawers", "rack", "password", "act"}) | {"name": name, "uuid": uuid}
        before = self.host.gadgets.get(uuid, {})
        macs = {slot.name: slot.mac for slot in before.get("slots", ())}
        bag["slots"] = [
            slot.model_copy(update={"mac": slot.mac or macs.get(slot.name) or f"52:54:00:00:00:{index:02x}"})
            for index, slot in enumerate(spec.slots)
        ]
        locks = {key: drawer.lock for key, drawer in before.get("drawers", {}).items()}
        bag["drawers"] = {
            key: drawer.model_copy(update={"lock": drawer.lock or locks.get(key) or f"lock-{key}"})
            for key, drawer in spec.drawers.items()
        }
        if spec.rack is not None:
            shelf = spec.rack.shelf or (before["rack"].shelf if before.get("rack") else 7)
            bag["rack"] = spec.rack.model_copy(update={"shelf": shelf, "labels": spec.rack.labels or None})
        with self.host.lock:
            self.host.gadgets[uuid] = {**bag, "act": spec.act}
            self.host.passwords[uuid] = spec.password.reveal() if spec.password is not None else None
        if spec.act == "slow" and not before:
            self.host.waking.add(uuid)
            return Partial(uuid, self._state(uuid), ("the gadget is not up yet",))
        self.host.waking.discard(uuid)
        state = self._state(uuid)
        if spec.act == "partial":
            return Partial(uuid, state, (f"the gadget does not answer, said {_text(spec.password)}",))
        if spec.act == "hang":
            try:
                work.until(lambda: False, limit_s=30, every_s=0.02, what="the gadget does not answer")
            except JvpError as error:
                return Partial(uuid, state, (error.message,))
        return Done(uuid, state)

    def _state(self, uuid: str) -> GadgetState:
        bag = self.host.gadgets[uuid]
        extra = {
            "size_bytes": size_bytes(bag["size"]), "serial": f"serial-{uuid[:8]}", "password": None,
            "state": None if uuid in self.host.waking else "running" if bag["act"] == "run" else "idle",
            "weather": self.host.weather,
        }  # fmt: skip
        return GadgetState.model_construct(**{"rack": None, **bag}, **extra)

    def read(self, work: Work, object_id: str, prior: GadgetState | None) -> GadgetState | None:
        work.check()
        self.host.calls.append("read")
        return self._state(object_id) if object_id in self.host.gadgets else None

    def update(
        self, work: Work, object_id: str, prior: GadgetState, spec: Gadget, changes: Sequence[Change]
    ) -> Outcome[GadgetState]:
        self.host.calls.append("update")
        if object_id not in self.host.gadgets:
            raise NotFound("the gadget is gone")
        if spec.act in ERRORS:
            raise ERRORS[spec.act](f'the host said "{spec.act}"', path=("act",))
        self.host.damaged.discard(object_id)
        return self._kept(object_id, spec, spec.name or self.host.gadgets[object_id]["name"], work)

    def delete(self, work: Work, object_id: str, prior: GadgetState | None) -> None:
        self.host.calls.append("delete")
        self.host.gadgets.pop(object_id, None)

    def find(self, work: Work, reference: str) -> str:
        for uuid, bag in self.host.gadgets.items():
            if reference in (uuid, bag["name"]):
                return uuid
        there = ", ".join(sorted(bag["name"] for bag in self.host.gadgets.values()))
        raise NotFound(f'there is no {self.kind} "{reference}"; there are: {there or "none"}')

    def list(self, work: Work, filters: Any = None) -> Iterator[Item]:
        for uuid, bag in self.host.gadgets.items():
            yield Item.model_construct(id=uuid, name=bag["name"])

    def effects(self, changes: Sequence[Change], state: GadgetState, new: dict[str, Any]) -> Iterator[Change]:
        yield from changes
        if state.uuid in self.host.damaged:
            yield Change(("size",), Kind.UPDATE, Effect.LIVE, None, new["size"])

    def predict(self, spec: Gadget, prior: GadgetState | None) -> dict[str, Any]:
        return {"sizeBytes": size_bytes(spec.size)} if known(spec.size) else {}

    def warnings(self, work: Work, spec: Gadget, prior: GadgetState | None) -> Iterator[str]:
        if spec.act == "grumble":
            yield f"gadgets like {_text(spec.password)} do not like this"


class Trinkets(Gadgets):
    """The same; no function answers for it."""

    kind, token = "trinket", "Trinket"


class Asked(Spec):
    name: Annotated[Name, Field(description="Which.")]
    act: Annotated[str | None, Field(description="An error.")] = None


class Answered(Spec):
    size_bytes: Annotated[int, Field(description="How big.")]
    serial: Annotated[str, Sensitive(), Field(description="Hush.")]
    slots: Annotated[list[Slot], Field(description="Its places.")] = []


class GetGadget:
    """One gadget by name."""

    token: ClassVar[str] = "getGadget"
    args: ClassVar[type[Spec]] = Asked
    result: ClassVar[type[Spec]] = Answered

    def __init__(self, host: Host) -> None:
        self.host = host

    def call(self, work: Work, args: Asked) -> Answered:
        if args.act in ERRORS:
            raise ERRORS[args.act]("no answer", path=("act",))
        gadgets = Gadgets(self.host)
        state = gadgets._state(gadgets.find(work, args.name))
        return Answered(size_bytes=state.size_bytes, serial=state.serial, slots=state.slots)


def _text(secret: Secret[str] | None) -> str:
    return secret.reveal() if secret else "nothing"


def servicer(host: Host) -> Any:
    """What a Pulumi server makes its servicer with."""
    from jvp.doors.pulumi.provider import ProviderServicer

    def calls(_provider: Provider) -> Calls:
        return Calls({"Gadget": Gadgets(host)}, {"getGadget": GetGadget(host)})

    return lambda session: ProviderServicer({"Gadget": Gadgets}, {"getGadget": GetGadget}, calls, session)


def terraform(host: Host, notes: Path | None = None) -> Any:
    """The servicer of a Terraform server."""
    from jvp.doors.terraform.provider import ProviderServicer

    def calls(_provider: Provider) -> Calls:
        handlers = {"Gadget": Gadgets(host), "Trinket": Trinkets(host)}
        return Calls(handlers, {"getGadget": GetGadget(host)}, lambda: host.uuid)

    types = {"Gadget": Gadgets, "Trinket": Trinkets}
    return ProviderServicer(types, {"getGadget": GetGadget}, calls, notes=notes)


def main() -> None:
    """Serve until told to end."""
    if "--terraform" not in sys.argv:
        from jvp.doors.pulumi.plugin import run

        run(sys.argv[1:], servicer(Host()))
        return
    from jvp.doors.terraform import declared, plugin
    from jvp.doors.terraform.server import Service

    notes = declared.folder_of(os.getppid()) if "--shared" in sys.argv else None
    plugin.run(Service(lambda: terraform(Host(), notes), stays="--debug" in sys.argv))
    os._exit(0)


if __name__ == "__main__":
    main()
