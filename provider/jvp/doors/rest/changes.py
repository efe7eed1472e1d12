"""A change that a request asks for: as it is written down, and how it is made, also again after a server died of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from jvp.core.errors import NameTaken, NotFound, dotted
from jvp.core.identity import DeclaredBy
from jvp.core.objects import Found, Objects
from jvp.core.work import Work
from jvp.doors.rest import bodies
from jvp.doors.rest.conditions import Conditions
from jvp.doors.rest.names import plural
from jvp.doors.rest.operation import Answer
from jvp.doors.rest.problems import Refused
from jvp.doors.rest.requests import etag_of, path_of, plain
from jvp.doors.rest.scope import Scope
from jvp.doors.rest.spool import Uploads
from jvp.doors.rest.turns import Turns
from jvp.resources import registry

Bag = dict[str, Any]
OTHER_VERSION = "a server of another version was ended while this was under way; send the request again"
CHANGED = "somebody has changed the object since this was asked for and cut off; look at it, and send the request again"


@dataclass(frozen=True)
class Call:
    """One change, with all that it takes to make it. The first look has decided what it is about."""

    verb: Literal["create", "apply", "change", "delete", "act"]
    token: str
    """Of the kind; of an action its own."""
    ref: str | None = None
    """The object by id or name; None of one that is to be made."""
    given: Bag = field(default_factory=dict, repr=False)
    """The declaration, the patch, the settings of a delete, the arguments."""
    force: bool = False
    adopt: bool = False
    conditions: Conditions = field(default_factory=Conditions)
    caller: str = ""
    id: str | None = None
    """Of the object that was there."""
    by: Bag | None = None
    """Who declared it then."""
    seen: Bag | None = field(default=None, repr=False)
    """What was declared of it then, where the change is conditional."""
    operation: str = ""
    key: str | None = None
    """A digest of the caller's Idempotency-Key."""
    open_internet: bool = False
    """See `Work`: who is no admin has images fetched from there alone."""
    tags: list[str] | None = None
    """Of the objects that the caller's token is for; None for all."""
    token_id: str | None = None
    """Of the caller's token; None over the unix socket."""

    @property
    def kind(self) -> str:
        """The kind of the object."""
        return registry.ACTIONS[self.token].on if self.verb == "act" else self.token

    @property
    def timeout(self) -> str:
        """Which of the provider's timeouts it has."""
        if self.verb in ("create", "delete"):
            return self.verb
        return "create" if self.verb == "apply" and self.ref is None else "update"

    @property
    def place(self) -> str:
        """What the object is called on its node, as far as the call tells; empty where it does not."""
        if self.ref is not None:
            return self.ref
        within = registry.TYPES[self.token].within
        return "/".join(str(self.given[name]) for name in (within, "name") if self.given.get(name) is not None)

    def looked(self, found: Found | None) -> Self:
        """The same, with what a look at the object has told."""
        if found is None:
            return self
        by = found.declared_by.note() if found.declared_by is not None else None
        return replace(self, id=found.id, by=by, seen=plain(found.inputs) if self.conditions else None)

    def document(self) -> Bag | None:
        """As JSON, to be made again from; None where it holds what must not be kept."""
        model = registry.ACTIONS[self.token].args if self.verb == "act" else registry.TYPES[self.token].spec
        if bodies.may_hide(model, self.given):
            return None
        found = asdict(self)
        return found if _is_kept_whole(found) else None

    @classmethod
    def read(cls, document: Bag) -> Call:
        """From its document. Raises Refused for one of another version that says what is not known here."""
        try:
            tags = {name: tuple(found) for name, found in document["conditions"].items()}
            return cls(**{**document, "conditions": Conditions(**tags)})
        except (KeyError, TypeError):
            raise Refused(409, "interrupted", OTHER_VERSION) from None


class Changes:
    """Makes them. Safe to use from many threads."""

    def __init__(
        self,
        objects: Objects,
        turns: Turns | None = None,
        uploads: Uploads | None = None,
        told: Callable[[Call, Answer], None] = lambda _call, _answer: None,
    ) -> None:
        """`told` hears of each change that was made."""
        self.objects, self.uploads, self._told = objects, uploads or Uploads(None), told
        self.turns = turns or Turns()

    def make(self, call: Call, work: Work, *, again: bool = False) -> Answer:
        """Make a change; `again` goes on with one that may have been made already, in part or as a whole.

        What the first one would have refused is refused then, too: raises Refused where somebody else has changed the
        object since. Raises JvpError.
        """
        work.open_internet = call.open_internet
        if call.verb == "act":
            result = self.objects.act(
                call.token, call.ref or "", call.given, work, request_id=call.key or call.operation, force=call.force
            )
            return Answer(200, plain(result))
        if again and call.id is not None:
            call = replace(call, ref=call.id)  # the first one may have renamed it, and another one may have its name
        if again and call.conditions and call.verb == "apply" and call.id is None:
            # That nothing was there is proven by what the first one began to make, and by nothing else.
            call = replace(call, verb="create", conditions=Conditions())
        with self._unchanged(call, work, again):
            answer = self._deleted(call, work) if call.verb == "delete" else self._applied(call, work, again)
        self._told(call, answer)
        return answer

    def make_again(self, document: Bag, work: Work) -> Answer:
        """Go on with the change of this document, which another server has left, with the rights of its caller."""
        call = Call.read(document)
        if call.tags is not None and (found := self.there(call, work)) is not None:
            Scope(tags=frozenset(call.tags)).refuse_outside(found.state)
        return self.make(call, work, again=True)

    def there(self, call: Call, work: Work) -> Found | None:
        """The object that a call is about."""
        with contextlib.suppress(NotFound):
            return self.objects.get(call.kind, call.ref or call.place, work) if call.ref or call.place else None
        return None

    def found(self, token: str, ref: str, work: Work) -> Found:
        """Raises NotFound, naming those that exist."""
        found = self.objects.get(token, ref, work)
        if found is None:
            raise NotFound(f'{registry.TYPES[token].kind} "{ref}" is gone')
        return found

    def is_gone(self, token: str, ref: str, work: Work) -> bool:
        """Whether a reference that leads to nothing is surely to nothing: the pool that it names is there, and runs.

        Another node, or a pool that is not there or stopped, tells nothing of what it may hold. Raises NotFound.
        """
        pool, slash, _ = ref.rpartition("/")
        within = registry.TYPES[token].within
        if not within:
            return not slash
        if not pool or "/" in pool or within != "pool":
            return False
        holder = self.objects.get("StoragePool", pool, work)
        return holder is not None and holder.state["state"] == "running"

    @contextlib.contextmanager
    def _unchanged(self, call: Call, work: Work, again: bool) -> Iterator[None]:
        """Of two changes that both go by the same tag one is made: they look one after the other.

        Raises Refused where the object is not what the request says, or again not what the first one left.
        """
        if not call.conditions:
            if again and call.verb != "create" and call.ref is not None:
                _refuse_another(call, self.there(call, work))
            yield
            return
        with self.turns.of(f"{call.token} {call.id or call.place}", call.operation, work):
            found = self.there(call, work)
            if again:
                _refuse_another(call, found)
            if not (again and self._is_ours(call, found, work)):
                call.conditions.refuse(None if found is None else etag_of(found.inputs))
            yield

    def _is_ours(self, call: Call, found: Found | None, work: Work) -> bool:
        """Whether all that differs from what the first one saw is as this call wants it: then nobody else was there."""
        if call.verb == "delete" or found is None:
            return found is None and call.verb == "delete"
        assert call.seen is not None
        silent = replace(work, warn=lambda _line: None)
        wanted = bodies.merged(call.seen, call.given) if call.verb == "change" else call.given
        since, left = (
            {dotted(change.path) for change in self.objects.plan(call.token, found.id, bag, silent).changes}
            for bag in (call.seen, wanted)
        )
        return not since & left

    def _deleted(self, call: Call, work: Work) -> Answer:
        assert call.ref is not None
        try:
            self.objects.delete(call.token, call.ref, work, force=call.force, options=call.given)
        except NotFound:
            if not self.is_gone(call.token, call.ref, work):
                raise
        return Answer(204)

    def _applied(self, call: Call, work: Work, again: bool) -> Answer:
        by, declared = DeclaredBy.of("rest", call.caller, ""), call.given
        if call.verb == "change":
            assert call.ref is not None
            declared = bodies.merged(self.found(call.token, call.ref, work).inputs, declared)
        images = bodies.uploads_in(registry.TYPES[call.token].spec, declared)
        work.uploads = self.uploads.files(call.caller, images)
        try:
            result = self.objects.apply(
                call.token, declared, work, by=by, reference=call.ref, force=call.force, adopt=call.adopt,
                new=call.verb == "create",
            )  # fmt: skip
        except NameTaken:
            made = self._made(call, by, work) if again else None
            if made is None:
                raise
            self.uploads.use(call.caller, images)
            return _shown(call, made, (), new=True)
        for reason in result.reasons:
            work.warn(reason)
        if not result.reasons:
            self.uploads.use(call.caller, images)
        found = self.found(call.token, result.stored.id, work)
        return _shown(call, found, result.reasons, new=result.created or (again and call.ref is None))

    def _made(self, call: Call, by: DeclaredBy, work: Work) -> Found | None:
        """The object that the first one has made whole, where it stands as it was declared."""
        found, now = self.there(call, work), None
        if found is not None:
            now = found.declared_by
        if found is None or now is None or (now.door, now.label) != (by.door, by.label):
            return None
        silent = replace(work, warn=lambda _line: None)
        plan = self.objects.plan(call.token, found.id, call.given, silent)
        return None if plan.changes else found


def _is_kept_whole(document: Bag) -> bool:
    """Whether databases take it: PostgreSQL knows neither a NUL nor half of a surrogate pair."""
    text = json.dumps(document, ensure_ascii=False)
    return "\\u0000" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _refuse_another(call: Call, found: Found | None) -> None:
    """Raise Refused where an object is there that was not, or that another program has made anew since."""
    if found is None:
        return
    by = found.declared_by.note() if found.declared_by is not None else None
    if call.id is None or (call.verb == "delete" and by != call.by):
        raise Refused(409, "interrupted", CHANGED)


def _shown(call: Call, found: Found, reasons: tuple[str, ...], *, new: bool) -> Answer:
    place, body = path_of(plural(call.token), found.id), bodies.document(found, reasons)
    return Answer(201 if new else 200, body, place, etag_of(found.inputs))
