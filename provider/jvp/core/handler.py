"""What a resource and a function are to the core: a model of facts and the verbs.

The contract of every verb: it may be called again after any crash, at any point, and then goes on or finds the
work done. What it made in a call that fails it takes back itself, unless it says so with `Partial`. What depends
on the host (a missing pool, a taken name) raises before the first write.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from jvp.core.declaration import Noted
from jvp.core.diff import Change
from jvp.core.errors import JvpError
from jvp.core.identity import Key
from jvp.core.listing import Filters, Item
from jvp.core.model import Spec
from jvp.core.work import Work

S = TypeVar("S", bound=Spec)
T = TypeVar("T", bound=Spec)


@dataclass(frozen=True)
class Done(Generic[T]):
    """The object is as declared."""

    id: str
    state: T


@dataclass(frozen=True)
class Partial(Generic[T]):
    """The object exists and is not yet as declared: the next update goes on. `reasons` are sentences."""

    id: str
    state: T
    reasons: tuple[str, ...]


Outcome = Done[T] | Partial[T]


@dataclass(frozen=True)
class Listed:
    """One object in a listing."""

    id: str
    name: str


class ResourceType(Generic[S, T]):
    """One kind of resource as it is declared: its names and its models. Nothing of it needs a host."""

    kind: ClassVar[str]
    """The field's word in lower case, for keys and sentences: "network", "storage pool"."""
    token: ClassVar[str]
    """The type's name in programs: "Network"."""
    spec: ClassVar[type[Spec]]
    state: ClassVar[type[Spec]]
    named_by: ClassVar[str] = "name"
    """The property by which people know one of them."""
    within: ClassVar[str] = ""
    """The property that names what such an object is in, where names are unique in that alone: a volume's `pool`."""
    auto_named: ClassVar[bool] = True
    """Whether `name` may be left out."""
    filters: ClassVar[type[Filters]] = Filters
    """What a list of the kind can be asked for."""
    item: ClassVar[type[Item]] = Item
    """What a list tells of each object."""
    made_first: ClassVar[bool] = False
    """Whether one of another name is made before the old one goes, which is not deleted while others refer to it."""
    stands_for: ClassVar[str] = ""
    """The token of the action that it stands for in an engine's program; empty for what is an object on a node."""

    @classmethod
    def deletes_first(cls, replaces: Collection[str]) -> bool:
        """Whether a replacement for these properties deletes the old object before it makes the new one: names are
        unique on a node."""
        return not (cls.made_first and cls.named_by in replaces)


class Handler(ResourceType[S, T]):
    """The verbs of one kind of resource. Subclasses are of its ResourceType, too, and write the verbs."""

    def create(self, work: Work, key: Key, spec: S) -> Outcome[T]:
        """Make the object, or go on with what an earlier try of the same key left."""
        raise NotImplementedError

    def read(self, work: Work, object_id: str, prior: T | None) -> T | Partial[T] | None:
        """The object as it is, None when it is surely gone. Acknowledges it when there is a `prior` state.

        Partial where it lacks what no property tells: the next update goes on.
        `prior` is None on an import. Raises when the host cannot be asked.
        """
        raise NotImplementedError

    def update(self, work: Work, object_id: str, prior: T, spec: S, changes: Sequence[Change]) -> Outcome[T]:
        """Apply `changes`; live where that is possible. Raises NotFound when the object is gone."""
        raise NotImplementedError

    def delete(self, work: Work, object_id: str, prior: T | None) -> None:
        """Remove the object and all that belongs to it. Gone already is success."""
        raise NotImplementedError

    def find(self, work: Work, reference: str) -> str:
        """The id for a name or an id that a person typed. Raises NotFound, naming those that exist."""
        raise NotImplementedError

    def noted(self, work: Work, object_id: str) -> Noted | None:
        """What the object's own mark says of it, by one look; None when it is surely gone. Raises as `read` does."""
        raise NotImplementedError

    def users(self, work: Work, object_id: str) -> Sequence[str]:
        """The instances that a delete would take it from, by name. An engine's plan has said so; others are asked."""
        return ()

    def list(self, work: Work, filters: Any = None) -> Iterator[Item]:
        """Every object of this kind on the host, ours or not, or those that `filters` (of this kind's type) take.

        One look at all of them, and one at each only where the filters ask for it. What is removed meanwhile is left
        out.
        """
        raise NotImplementedError

    def place(self, inputs: dict[str, Any]) -> str:
        """Where on its node the object is declared to be: the address in the keys of engines that know none."""
        return str(inputs["name"])

    def effects(self, changes: Sequence[Change], state: T, new: dict[str, Any]) -> Iterable[Change]:
        """The same changes with what is known of this object's state. Pure and offline; `new` may hold UNKNOWN.

        An update is given these. What it must know of the object beside them it asks itself, before it writes.
        """
        return changes

    def looked(self, work: Work, changes: Sequence[Change], state: T, new: dict[str, Any]) -> Iterable[Change]:
        """`effects`, with what only a look at the host tells: two references mean the same, the object is damaged.

        For plans, once for each; best effort: where nothing can be asked it is what `effects` gives. What a read has
        just seen the next plan tells without a look of its own.
        """
        return self.effects(changes, state, new)

    def predict(self, spec: S, prior: T | None) -> dict[str, Any]:
        """Outputs that a preview can know, by the users' spelling. Offline. Raises for what is sure to fail."""
        return {}

    def warnings(self, work: Work, spec: S, prior: T | None) -> Iterator[str]:
        """What a preview should say about the host. Best effort: errors are dropped by the caller."""
        return iter(())

    def obstacles(self, work: Work, spec: S, key: Callable[[], Key]) -> Iterator[JvpError]:
        """Why a create would fail as the host is now, in the words of the create. `spec` may hold UNKNOWN.

        Raises Unreachable; any other error that is not yielded is dropped by the caller.
        """
        return iter(())

    def standing(self, state: T) -> Iterator[str]:
        """What every plan and refresh says of the object as it is. Offline."""
        return iter(())

    def replacement_warnings(self, work: Work, prior: T) -> Iterator[str]:
        """What a plan should say of those that use the object, which is deleted and made anew. Best effort, too."""
        return iter(())


A = TypeVar("A", bound=Spec, contravariant=True)
R = TypeVar("R", bound=Spec, covariant=True)


class Function(Protocol[A, R]):
    """A read-only question to the host: `getInstance`."""

    token: ClassVar[str]
    on: ClassVar[str]
    """The token of the kind that it is about, or another word for what is of no kind: by it a limited token may ask."""
    args: ClassVar[type[Spec]]
    result: ClassVar[type[Spec]]

    def call(self, work: Work, args: A) -> R: ...


AnyHandler = Handler[Any, Any]
AnyType = ResourceType[Any, Any] | type[ResourceType[Any, Any]]
AnyFunction = Function[Any, Any]
