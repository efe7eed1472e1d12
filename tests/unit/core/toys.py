"""A resource with every kind of property, and a handler that keeps its objects in a dict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from jvp.core.declaration import Noted
from jvp.core.diff import Change
from jvp.core.errors import NameTaken, NotFound
from jvp.core.facts import Changes, Computed, Effect, Output, WriteOnly
from jvp.core.handler import Done, Handler, Outcome, Partial
from jvp.core.identity import Key, Mark
from jvp.core.listing import Item
from jvp.core.model import Rule, Spec
from jvp.core.types import Mac, Name, Size, size_bytes
from jvp.core.values import Secret, known
from jvp.core.work import Work


class Wheel(Spec):
    """An item of a list."""

    name: Annotated[Name, Field(description="Its name.")]
    size: Annotated[Size | None, Field(description="Its size.")] = None
    mac: Annotated[Mac | None, Computed(), Field(description="Its address.")] = None
    rim: Annotated[str | None, Changes(Effect.REPLACE), Field(description="Its rim.")] = None


class Engine(Spec):
    """A nested object."""

    power: Annotated[int, Field(ge=1, le=900, description="Its power.")] = 90
    fuel: Annotated[Literal["diesel", "petrol"], Field(description="What it burns.")] = "petrol"
    code: Annotated[Secret[str] | None, Field(description="Always secret.")] = None


class Car(Spec):
    """A toy."""

    name: Annotated[Name | None, Changes(Effect.REPLACE), Computed(), Field(description="Its name.")] = None
    size: Annotated[Size, Field(description="Its size.")] = "1GiB"
    colour: Annotated[str | None, Field(description="May be unset.")] = None
    doors: Annotated[int, Changes(Effect.NEXT_BOOT), Field(description="How many doors.")] = 4
    open: Annotated[bool, Field(description="Whether it is open.")] = False
    rear_doors: Annotated[int | None, Field(description="Derived from doors.")] = None
    wheels: Annotated[list[Wheel], Field(description="A list by name.")] = []
    engine: Annotated[Engine | None, Changes(Effect.POWER_OFF), Field(description="A nested object.")] = None
    tags: Annotated[list[str], Field(description="A plain list.")] = []
    labels: Annotated[dict[str, str], Field(description="A map.")] = {}
    note: Annotated[str | None, WriteOnly(), Field(description="Cannot be read back.")] = None
    pin: Annotated[Secret[str] | None, WriteOnly(), Field(description="A secret that cannot be read back.")] = None

    def rules(self) -> Iterator[Rule]:
        if known(self.doors) and self.doors > 9:
            yield ("doors",), f"has {self.doors}, more than any car"

    def derived(self) -> dict[str, Any]:
        if self.rear_doors is None and known(self.doors):
            return {"rear_doors": self.doors // 2}
        return {}


class CarState(Car):
    """A toy as it is."""

    plate: Annotated[str | None, Output(), Field(description="Its plate.")] = None
    size_bytes: Annotated[int | None, Output(follows=("size",)), Field(description="Its size in bytes.")] = None


class Cars(Handler[Car, CarState]):
    """Cars in a dict, with identity and acknowledgement as the real handlers have them."""

    kind, token, spec, state = "car", "Car", Car, CarState

    def __init__(self) -> None:
        self.cars: dict[str, tuple[Mark, CarState]] = {}
        self.hook: Callable[[Car], None] = lambda spec: None
        """Called by create and update before they do anything."""
        self.reasons: tuple[str, ...] = ()
        """What create and update leave undone."""
        self.warning: str | None = None
        self.changes: Sequence[Change] = ()

    def create(self, work: Work, key: Key, spec: Car) -> Outcome[CarState]:
        self.hook(spec)
        generation = 0
        while key.uuid(generation) in self.cars and self.cars[key.uuid(generation)][0].acknowledged:
            generation += 1
        uuid = key.uuid(generation)
        name = spec.name or key.auto_name(uuid)
        if any(car.name == name and other != uuid for other, (_, car) in self.cars.items()):
            raise NameTaken(f'there is a car "{name}" already', path=("name",))
        return self._put(uuid, Mark.new(key, generation, work.declaration), spec, name)

    def read(self, work: Work, object_id: str, prior: CarState | None) -> CarState | None:
        if object_id not in self.cars:
            return None
        mark, state = self.cars[object_id]
        if prior is not None and not work.looks:
            self.cars[object_id] = (replace(mark, acknowledged=True), state)
        return state

    def update(
        self, work: Work, object_id: str, prior: CarState, spec: Car, changes: Sequence[Change]
    ) -> Outcome[CarState]:
        self.hook(spec)
        self.changes = changes
        if object_id not in self.cars:
            raise NotFound(f'car "{prior.name}" is gone')
        mark = self.cars[object_id][0].updated(work.key, work.declaration)
        return self._put(object_id, mark, spec, spec.name or str(prior.name))

    def delete(self, work: Work, object_id: str, prior: CarState | None) -> None:
        self.cars.pop(object_id, None)

    def find(self, work: Work, reference: str) -> str:
        for uuid, (_, car) in self.cars.items():
            if reference in (uuid, car.name):
                return uuid
        names = ", ".join(sorted(str(car.name) for _, car in self.cars.values())) or "none"
        raise NotFound(f'there is no car "{reference}"; there are: {names}')

    def noted(self, work: Work, object_id: str) -> Noted | None:
        if object_id not in self.cars:
            return None
        mark = self.cars[object_id][0]
        return Noted.of(mark if mark.key else None, Car)

    def list(self, work: Work, filters: Any = None) -> Iterator[Item]:
        for uuid, (_, car) in self.cars.items():
            yield Item.model_construct(id=uuid, name=str(car.name))

    def predict(self, spec: Car, prior: CarState | None) -> dict[str, Any]:
        return {"sizeBytes": size_bytes(spec.size)} if known(spec.size) else {}

    def warnings(self, work: Work, spec: Car, prior: CarState | None) -> Iterator[str]:
        if self.warning is not None:
            yield self.warning

    def _put(self, uuid: str, mark: Mark, spec: Car, name: str) -> Outcome[CarState]:
        values = {attribute: getattr(spec, attribute) for attribute in Car.model_fields}
        # As from a host: another spelling, another order, and nothing of what is write-only.
        values |= {
            "name": name,
            "size": f"{size_bytes(spec.size) // 1024}KiB",
            "wheels": [wheel.model_copy(update={"mac": wheel.mac or "52:54:00:00:00:01"}) for wheel in spec.wheels][
                ::-1
            ],
            "note": None,
            "pin": None,
        }
        state = CarState.model_construct(**values, plate=uuid[:4], size_bytes=size_bytes(spec.size))
        self.cars[uuid] = (mark, state)
        return Partial(uuid, state, self.reasons) if self.reasons else Done(uuid, state)
