"""A resource that stands for an action in an engine's program: `RestartInstance`.

Engines know no actions that both of them have. Such a resource acts when it is made, and anew when its `triggers` or an
argument change. It has no object of its own: a read finds what the state says, and its removal undoes nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field, create_model

from jvp.core import action as actions
from jvp.core.action import AnyAction
from jvp.core.diff import Change
from jvp.core.errors import JvpError, NotFound, Rejected
from jvp.core.facts import Changes, Effect, Output
from jvp.core.handler import AnyHandler, Done, Handler, Outcome, ResourceType
from jvp.core.identity import Key
from jvp.core.listing import Item
from jvp.core.model import attributes, fields
from jvp.core.ownership import refuse_foreign
from jvp.core.types import Reference
from jvp.core.values import known, reveal
from jvp.core.work import Work

TRIGGERS = Annotated[
    dict[str, str], Field(description="Words of your own: where one changes, it acts anew. What they say is up to you.")
]
REQUEST = Annotated[str, Output(), Field(description="The id of the request that was done last.")]


def type_of(action: type[AnyAction], token: str) -> type[ResourceType[Any, Any]]:
    """The resource of this name that stands for an action: its reference to the object, the arguments and triggers."""
    what = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", action.on).lower()
    reference = Annotated[
        Reference, Changes(Effect.REPLACE), Field(description=f"The {what} that it acts on, by id or name.")
    ]
    asked: dict[str, Any] = {_reference(action): (reference, ...), "triggers": (TRIGGERS, {})}
    spec = create_model(token, __base__=action.args, **asked)
    spec.__doc__ = _words(action)
    follows = tuple(fields(spec))
    hints = typing.get_type_hints(action.result, include_extras=True)
    told: dict[str, Any] = {
        facts.attribute: (Annotated[hints[facts.attribute], Output(follows=follows)], None)
        for facts in fields(action.result).values()
    }
    state = create_model(f"{token}State", __base__=spec, **told, request=(REQUEST, ...))
    state.__doc__ = "What was done last."
    made = {
        "kind": f"{what} {action.word}", "token": token, "spec": spec, "state": state, "auto_named": False,
        "named_by": attributes(spec)[_reference(action)].name,
    }  # fmt: skip
    return type(f"{token}Type", (ResourceType,), {**made, "stands_for": action.token, "__doc__": spec.__doc__})


def _reference(action: type[AnyAction] | AnyAction) -> str:
    """The attribute that names the object: "storage_pool"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", action.on).lower()


def _words(action: type[AnyAction]) -> str:
    what = " ".join((action.__doc__ or "").split())
    return (
        f"{what} It acts when it is made, and anew when `triggers` or an argument change; to remove it undoes nothing."
    )


def handler_of(type_: type[ResourceType[Any, Any]], action: AnyAction, handler: Callable[[], AnyHandler]) -> AnyHandler:
    """The verbs of a resource that stands for an action. `handler` gives those of the kind that is acted on."""
    made: type[StandIn] = type(f"{type_.token}s", (type_, StandIn), {})
    return made(action, handler)


class StandIn(Handler[Any, Any]):
    """The verbs of such a resource."""

    def __init__(self, action: AnyAction, handler: Callable[[], AnyHandler]) -> None:
        """`handler` gives the verbs of the kind that is acted on."""
        self.action = action
        self._handler = handler

    def create(self, work: Work, key: Key, spec: Any) -> Outcome[Any]:
        return Done(key.uuid(0), self._done(work, spec, key.digest))

    def read(self, work: Work, object_id: str, prior: Any) -> Any:
        if prior is None:
            raise self._no_object()
        return prior

    def update(self, work: Work, object_id: str, prior: Any, spec: Any, changes: Sequence[Change]) -> Outcome[Any]:
        # After the last request, so that triggers which come again are another request.
        return Done(object_id, self._done(work, spec, prior.request) if changes else prior)

    def delete(self, work: Work, object_id: str, prior: Any) -> None:
        """Forget the request, so that the same resource acts when it is made again. Best effort: it undoes nothing."""
        with contextlib.suppress(JvpError):
            if prior is not None:
                there = self._handler().find(work, getattr(prior, _reference(self.action)))
                actions.forget(self.action, work, there, prior.request)

    def find(self, work: Work, reference: str) -> str:
        raise self._no_object()

    def list(self, work: Work, filters: Any = None) -> Iterator[Item]:
        return iter(())

    def place(self, inputs: dict[str, Any]) -> str:
        reference = str(inputs.get(attributes(self.spec)[_reference(self.action)].name))
        return f"{reference}/{_request('', inputs)[:8]}"

    def warnings(self, work: Work, spec: Any, prior: Any) -> Iterator[str]:
        reference = getattr(spec, _reference(self.action))
        name = f' of "{reference}"' if known(reference) else ""
        yield f"{self.kind}{name}: it {self.action.effect}"
        with contextlib.suppress(JvpError):
            if known(reference):
                yield from self.action.foreseen(work, self._handler().find(work, reference))

    def _done(self, work: Work, spec: Any, after: str) -> Any:
        request = _request(after, spec.bag())
        args = self.action.args.model_construct(**{name: getattr(spec, name) for name in self.action.args.model_fields})
        handler, reference = self._handler(), getattr(spec, _reference(self.action))
        try:
            object_id = handler.find(work, reference)
            if not self.action.local:
                refuse_foreign(handler, work, object_id, reference)
        except (NotFound, Rejected) as error:
            raise error.at(attributes(self.spec)[_reference(self.action)].name) from None
        result = actions.perform(self.action, work, object_id, args, request)
        return self.state.model_construct(**{**dict(spec), **dict(result), "request": request})

    def _no_object(self) -> Rejected:
        return Rejected(f"a {self.kind} stands for what is done, and there is nothing to import; declare it anew")


def _request(after: str, inputs: dict[str, Any]) -> str:
    """The id of the request for these arguments, after another one: derived, so that a retry has the same.

    The object's mark notes it, and a trigger may be secret: to guess is costly.
    """
    text = json.dumps(reveal(inputs), sort_keys=True, default=repr)
    return hashlib.scrypt(text.encode(), salt=after.encode(), n=2**12, r=8, p=1, dklen=16).hex()
