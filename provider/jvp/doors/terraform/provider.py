"""The calls of the provider protocol: each turns its message into bags, makes one call of the core, and answers.

Errors leave as `JvpError`; `server.py` makes diagnostics of them. Where the host must get a state back beside an error,
the call answers both itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from jvp.core.abandon import run
from jvp.core.calls import AnyFunction, AnyHandler, Calls, Plan, Stored
from jvp.core.check import Failure, check
from jvp.core.errors import Invalid, JvpError, NameTaken, NotFound, Rejected, Unreachable
from jvp.core.facts import Effect
from jvp.core.handler import Handler
from jvp.core.identity import Key
from jvp.core.model import Spec, fields
from jvp.core.outlook import Asked
from jvp.core.types import duration_s
from jvp.core.values import UNKNOWN, Bag, known
from jvp.core.work import Work
from jvp.doors.terraform import diagnostics, kept, moved, plan, readonly, schema, writeonly
from jvp.doors.terraform.declared import Declared
from jvp.doors.terraform.owner import declarer, default_owner
from jvp.doors.terraform.protocol import Message, message
from jvp.doors.terraform.spelling import spoken
from jvp.doors.terraform.upgrade import upgraded
from jvp.doors.terraform.values import Raw, decode, encode, nulls, to_bag, to_raw
from jvp.resources.provider import Provider, Timeouts

LATER = "the provider's uri is known only after the apply"
FIRST = "apply what the uri comes from first, with -target, or write the uri out"
"""What to do where an answer cannot wait for the apply."""
PREVIEW_S = 15.0
"""How long a plan may ask the host for its warnings."""
ASKED = ("timeouts", "adopt")
"""Attributes of every resource that its user sets and no model has."""
OURS = ("id", "unfinished", *ASKED)
"""Attributes of every resource that no model has."""

MakeCalls = Callable[[Provider], Calls]


@dataclass(frozen=True)
class _Configured:
    calls: Calls
    provider: Provider
    offline: bool
    """Whether the uri is known only after the apply."""
    declared: Declared
    """What this run makes: two resources of one name would be one object."""


class ProviderServicer:
    """The verbs over a registry of handlers and functions. Safe to use from many threads."""

    def __init__(
        self,
        handlers: Iterable[type[Handler[Any, Any]]],
        functions: Iterable[type[AnyFunction]],
        make_calls: MakeCalls,
        folder: Path | None = None,
        notes: Path | None = None,
    ) -> None:
        """`folder` is the root module's; `notes` is where processes of one host tell each other what they make."""
        self.handlers = {schema.type_name(handler.token): handler for handler in handlers}
        self.functions = {schema.type_name(function.token): function for function in functions}
        self.stopped = threading.Event()
        self._make_calls = make_calls
        self._folder = folder or Path.cwd()
        self._configured: _Configured | None = None
        self._notes = notes
        self._known: dict[str, Sequence[Message]] = {}

    # Schemas

    def GetMetadata(self, request: Message) -> Message:
        answer = message("GetMetadata.Response")(server_capabilities=_capabilities())
        for name in self.handlers:
            answer.resources.add(type_name=name)
        for name in self._data_sources():
            answer.data_sources.add(type_name=name)
        return answer

    def GetProviderSchema(self, request: Message) -> Message:
        answer = message("GetProviderSchema.Response")(server_capabilities=_capabilities(), provider=schema.provider())
        for name, handler in self.handlers.items():
            answer.resource_schemas[name].CopyFrom(schema.resource(handler))
        for name, make in self._data_sources().items():
            answer.data_source_schemas[name].CopyFrom(make())
        return answer

    def GetResourceIdentitySchemas(self, request: Message) -> Message:
        return message("GetResourceIdentitySchemas.Response")()

    def GetFunctions(self, request: Message) -> Message:
        return message("GetFunctions.Response")()

    def _data_sources(self) -> dict[str, Callable[[], Message]]:
        """Every function, and a look-up for each kind that no function answers for."""
        found: dict[str, Callable[[], Message]] = {
            name: lambda function=function: schema.data_source(function)  # type: ignore[misc]
            for name, function in self.functions.items()
        }
        for name, handler in self.handlers.items():
            found.setdefault(name, lambda handler=handler: schema.lookup(handler))  # type: ignore[misc]
        return found

    def _attributes(self, block: str, make: Callable[[], Message]) -> Sequence[Message]:
        """The attributes of a block. Kept: a host has every block of a configuration checked, and more than once."""
        if block not in self._known:
            self._known[block] = make().block.attributes
        return self._known[block]

    # Settings

    def ValidateProviderConfig(self, request: Message) -> Message:
        outcome = check(Provider, to_bag(Provider, decode(request.config) or {}))
        return message("ValidateProviderConfig.Response")(
            diagnostics=diagnostics.of_failures(outcome.failures, Provider)
        )

    def ConfigureProvider(self, request: Message) -> Message:
        outcome = check(Provider, to_bag(Provider, decode(request.config) or {}))
        answer = message("ConfigureProvider.Response")
        if outcome.spec is None:
            return answer(diagnostics=diagnostics.of_failures(outcome.failures, Provider))
        provider: Provider = outcome.spec
        if provider.owner in (None, ""):  # a variable's default may be empty
            provider = provider.model_copy(update={"owner": default_owner(self._folder)})
        self.stopped = threading.Event()  # a process that a host attaches to sees many runs, one by one
        declared = Declared(self._notes)
        self._configured = _Configured(self._make_calls(provider), provider, not known(provider.uri), declared)
        return answer()

    # Resources

    def ValidateResourceConfig(self, request: Message) -> Message:
        handler = self._handler(request.type_name)
        raw = decode(request.config) or {}
        timeouts = check(Timeouts, _timeouts(raw))
        allowed = request.client_capabilities.write_only_attributes_allowed
        wrong = [
            *readonly.failures(self._attributes(request.type_name, lambda: schema.resource(handler)), raw),
            *writeonly.failures(handler.spec, raw, allowed=allowed),
            *_failures(handler.spec, raw),
        ]
        found = diagnostics.of_failures(wrong, handler.spec)
        failures = (replace(one, path=("timeouts", *one.path)) for one in timeouts.failures)
        return message("ValidateResourceConfig.Response")(
            diagnostics=[*found, *diagnostics.of_failures(failures, handler.spec)]
        )

    def UpgradeResourceState(self, request: Message) -> Message:
        handler = self._handler(request.type_name)
        ours = handler.spec.schema_version
        if request.version > ours:
            raise Invalid(
                f"the state was written by a newer version of jvp (its schema is {request.version}, this one knows "
                f"{ours}); install that version"
            )
        whole = upgraded(handler, request.raw_state.json)
        return message("UpgradeResourceState.Response")(upgraded_state=encode(whole))

    def ReadResource(self, request: Message) -> Message:
        handler, raw = self._configured_handler(request.type_name), decode(request.current_state)
        answer = message("ReadResource.Response")
        same = answer(new_state=request.current_state, private=request.private)
        if self._ready.offline:
            if moved.reference_of(raw) is not None:
                raise Unreachable(f"{LATER}, and a resource that was moved is read before; {FIRST}")
            sentence = f"{LATER}: this is the state as it was"
            same.diagnostics.append(diagnostics.warning("Not refreshed", sentence))
            return same
        with self._work(handler, raw, "update") as (work, warnings):
            found = self._read(handler, raw, request.private, work)
        if found is None:
            return answer(new_state=encode(None), diagnostics=warnings)
        return answer(
            new_state=encode(self._whole(handler, found, raw)), private=kept.packed(found), diagnostics=warnings
        )

    def PlanResourceChange(self, request: Message) -> Message:
        handler = self._configured_handler(request.type_name)
        answer = message("PlanResourceChange.Response")
        prior, config = decode(request.prior_state), decode(request.config)
        moved.refuse_unread(prior)
        if decode(request.proposed_new_state) is None:
            self._ready.calls.outlook.plans.move(str((prior or {}).get("id")))
            return answer(planned_state=request.proposed_new_state, planned_private=request.prior_private)
        bag = to_bag(handler.spec, config)
        before, now = writeonly.compared(handler.spec, prior, config)
        outcome = self._ready.calls.check(handler.token, writeonly.filled(handler.spec, bag, now))
        if outcome.failures:
            wrong = writeonly.placed(handler.spec, config, outcome.failures)
            return answer(diagnostics=diagnostics.of_failures(wrong, handler.spec))
        with self._work(handler, config, "create", preview=True) as (work, warnings):
            if prior is None:
                raw = self._planned_create(handler, config, outcome.inputs, work)
                return answer(planned_state=encode(raw), diagnostics=warnings)
            stored = _having(handler, kept.stored(handler, prior, request.prior_private), before)
            changes = self._ready.calls.diff(handler.token, stored, outcome.inputs, work)
            raw = self._planned_update(handler, config, stored, outcome.inputs, prior, changes, work)
        return answer(
            planned_state=encode(raw),
            planned_private=kept.planned(request.prior_private, bag),
            requires_replace=_replacing(handler, changes),
            diagnostics=warnings,
        )

    def ApplyResourceChange(self, request: Message) -> Message:
        handler = self._configured_handler(request.type_name)
        prior, promised, config = (decode(one) for one in (request.prior_state, request.planned_state, request.config))
        verb = self._create if prior is None else self._delete if promised is None else self._update
        answer = message("ApplyResourceChange.Response")
        before = kept.stored(handler, prior or {}, request.planned_private)
        then, now = writeonly.compared(handler.spec, prior, config, promised)
        adopt = self._adopts(config)
        self._ready.declared.in_a_state(before.id)
        with self._work(handler, config or prior, verb.__name__.strip("_")) as (work, warnings):
            try:
                given = to_bag(handler.spec, config or {})
                if prior is not None:
                    given = kept.given(handler, request.planned_private, given)
                given = writeonly.filled(handler.spec, given, now)
                whole = _having(handler, before, then)
                done = run(work, lambda: verb(handler, whole, given, bool(adopt), work))
            except JvpError as error:
                found = diagnostics.of_error(error, handler.spec)
                return answer(
                    new_state=request.prior_state,
                    private=kept.packed(before) if prior else b"",
                    diagnostics=[*warnings, found],
                )
        if done is None:
            return answer(new_state=encode(None), diagnostics=warnings)
        for raw in (config, promised):
            done = replace(done, inputs=writeonly.without(handler.spec, done.inputs, raw))
        # An object that is not finished is told as it is: there the host compares nothing.
        left = plan.untouched(handler.spec if done.unfinished else handler.state, promised, prior or {})
        missing = diagnostics.unfinished(handler, done.unfinished, created=prior is None)
        return answer(
            new_state=encode({**self._whole(handler, done, promised), **left}),
            private=kept.packed(done),
            diagnostics=[*warnings, *missing],
        )

    def ImportResourceState(self, request: Message) -> Message:
        handler = self._configured_handler(request.type_name)
        if self._ready.offline:
            raise Unreachable(f"{LATER}, and an import looks before; {FIRST}")
        with self._work(handler, {}, "update") as (work, warnings):
            found = self._imported(handler, request.id, work)
        answer = message("ImportResourceState.Response")(diagnostics=warnings)
        state = encode(self._whole(handler, found, {}))
        answer.imported_resources.add(type_name=request.type_name, state=state, private=kept.packed(found))
        return answer

    def MoveResourceState(self, request: Message) -> Message:
        handler = self._handler(request.target_type_name)
        reference = moved.reference_in(
            request.source_provider_address,
            request.source_type_name,
            request.target_type_name,
            request.source_state.json,
        )
        raw = {
            **writeonly.closed(handler.state, to_raw(handler.state, {}), {}),
            **dict.fromkeys(OURS),
            "id": moved.marked(reference),
        }
        return message("MoveResourceState.Response")(target_state=encode(raw))

    # Data sources

    def ValidateDataResourceConfig(self, request: Message) -> Message:
        raw = decode(request.config) or {}
        function = self.functions.get(request.type_name)
        model = function.args if function else self._handler(request.type_name).spec
        if function is None:
            _reference(self._handler(request.type_name), raw)
        listed = self._attributes(f"data.{request.type_name}", self._data_sources()[request.type_name])
        wrong = [*readonly.failures(listed, raw), *(_failures(model, raw) if function else ())]
        return message("ValidateDataResourceConfig.Response")(diagnostics=diagnostics.of_failures(wrong, model))

    def ReadDataSource(self, request: Message) -> Message:
        raw, function = decode(request.config), self.functions.get(request.type_name)
        handler = None if function else self._configured_handler(request.type_name)
        if self._ready.offline:
            # An unknown answer is one that no host takes, and a deferred one is not offered to us.
            raise Unreachable(
                f"{LATER}; give the data source a depends_on with what the uri comes from, and the apply reads it"
            )
        with self._work(handler, {}, "update") as (work, warnings):
            state = self._told(function, raw, work) if handler is None else self._looked_up(handler, raw, work)
        return message("ReadDataSource.Response")(state=encode(state), diagnostics=warnings)

    def _told(self, function: Any, raw: Raw, work: Work) -> Raw:
        result, failures = self._ready.calls.invoke(function.token, to_bag(function.args, raw), work)
        if failures:
            raise Invalid(failures[0].message, path=failures[0].path)
        given = {facts.attribute: raw.get(facts.attribute) for facts in fields(function.args).values()}
        told = to_raw(function.result, result or {})
        return {**given, **told, **{name: value for name, value in given.items() if value is not None}}

    def _looked_up(self, handler: AnyHandler, raw: Raw, work: Work) -> Raw:
        reference = _reference(handler, raw)
        found = self._imported(handler, reference, work)
        given = {name: value for name, value in raw.items() if name in ("id", "name") and value is not None}
        return {**to_raw(handler.state, found.state), "id": found.id, **given}

    def StopProvider(self, request: Message) -> Message:
        self.stopped.set()
        return message("StopProvider.Response")()

    # The verbs of an apply

    def _create(self, handler: AnyHandler, before: Stored, given: Bag, adopt: bool, work: Work) -> Stored:
        calls, key, declared = self._ready.calls, self._key(handler, given), self._ready.declared
        if not declared.take(key.digest):
            raise NameTaken(f'{handler.kind} "{key.label}" is declared twice, and is made already', path=("name",))
        try:
            made = calls.create(handler.token, key, calls.check(handler.token, given).inputs, work, adopt=adopt).stored
        except NameTaken as error:
            declared.drop(key.digest)
            raise diagnostics.taken(handler.kind, error, key) from None
        except BaseException:
            declared.drop(key.digest)
            raise
        declared.made(key.digest, made.id)
        return made

    def _update(self, handler: AnyHandler, before: Stored, given: Bag, adopt: bool, work: Work) -> Stored:
        calls = self._ready.calls
        key = self._key(handler, given)
        return calls.update(handler.token, before, calls.check(handler.token, given).inputs, work, key).stored

    def _delete(self, handler: AnyHandler, before: Stored, given: Bag, adopt: bool, work: Work) -> None:
        self._ready.calls.delete(handler.token, before, work)

    def _key(self, handler: AnyHandler, bag: Bag) -> Key:
        """Who the object belongs to: the owner, and its place on the node, for there is no address here."""
        provider, calls = self._ready.provider, self._ready.calls
        place = handler.place(bag)
        name = str(bag.get("name") or place)
        declared_by = declarer(self._folder, schema.type_name(handler.token), name)
        return Key(provider.owner or "", handler.token, f"{calls.host()}/{place}", name, declared_by)

    # What they share

    def _adopts(self, config: Raw | None) -> Any:
        adopt = (config or {}).get("adopt")
        return self._ready.provider.adopt if adopt is None else adopt

    def _planned_create(self, handler: AnyHandler, config: Raw, inputs: Bag, work: Work) -> Raw:
        adopt = self._adopts(config)
        asked = Asked(lambda: self._key(handler, inputs), adopt is not False, partial(diagnostics.taken, handler.kind))
        preview = self._ready.calls.preview_create(handler.token, inputs, work, asked)
        raw = plan.planned(handler.state, config, preview, {}, fields(handler.state))
        raw = writeonly.closed(handler.state, raw, config)
        return {**raw, "id": UNKNOWN, "unfinished": [], **_asked(config)}

    def _planned_update(
        self, handler: AnyHandler, config: Raw, stored: Stored, inputs: Bag, prior: Raw, changes: Plan, work: Work
    ) -> Raw:
        # Where the last apply left something, this is a difference: else the host would not call us.
        ours = {"id": prior["id"], "unfinished": [], **_asked(config)}
        changed = {str(change.path[0]) for change in changes.changes}
        # An object that does not change stays as it was, with its versions.
        like = {**config, **writeonly.unchanged(handler.state, config, prior, changed)}
        if not changed and not stored.unfinished:
            spelled = plan.planned(handler.state, config, stored.state, prior, ())
            return {**writeonly.closed(handler.state, spelled, like), **ours}
        preview = self._ready.calls.preview_update(handler.token, stored, inputs, work)
        spelled = plan.planned(handler.state, config, preview, prior, changed)
        raw = {**writeonly.closed(handler.state, spelled, like), **ours}
        # A change that no attribute shows, a disk that was taken out of its guest, is to be seen too.
        return {**raw, "unfinished": UNKNOWN} if raw == prior else raw

    def _whole(self, handler: AnyHandler, found: Stored, promised: Raw) -> Raw:
        """Every attribute of a resource."""
        raw = writeonly.closed(handler.state, plan.kept(handler.state, found.state, promised), promised)
        unfinished = [spoken(reason, handler.spec) for reason in found.unfinished]
        return {**raw, "id": found.id, "unfinished": unfinished, **_asked(promised)}

    def _read(self, handler: AnyHandler, raw: Raw, private: bytes, work: Work) -> Stored | None:
        """The object of a state as it is now. One that was moved here comes in as by an import."""
        if (reference := moved.reference_of(raw)) is not None:
            return self._imported(handler, reference, work)
        stored = kept.stored(handler, raw, private)
        self._ready.declared.in_a_state(stored.id)
        return self._ready.calls.read(handler.token, stored, work)

    def _imported(self, handler: AnyHandler, reference: str, work: Work) -> Stored:
        """An object that is there already. Raises NotFound."""
        found = self._ready.calls.import_(handler.token, reference, work)
        if found is None:
            raise NotFound(f'there is no {handler.kind} "{reference}"')
        return found

    def model_of(self, request: Message) -> type[Spec]:
        """The model in whose properties errors of a request speak."""
        asked = request.DESCRIPTOR.full_name
        if "Data" in asked and request.type_name in self.functions:
            return self.functions[request.type_name].args
        if hasattr(request, "type_name"):
            return self._handler(request.type_name).spec
        return Provider

    @property
    def _ready(self) -> _Configured:
        if self._configured is None:
            raise Rejected("the provider is not configured yet")
        return self._configured

    def _handler(self, name: str) -> type[Handler[Any, Any]]:
        if name not in self.handlers:
            raise Invalid(
                f'this version of jvp has no resource "{name}"; there are: {", ".join(sorted(self.handlers))}'
            )
        return self.handlers[name]

    def _configured_handler(self, name: str) -> AnyHandler:
        return self._ready.calls.handlers[self._handler(name).token]

    @contextmanager
    def _work(
        self, handler: AnyHandler | None, raw: Raw | None, verb: str, *, preview: bool = False
    ) -> Iterator[tuple[Work, list[Message]]]:
        """A verb's surroundings: its deadline (the resource's own `timeouts` win), its end, and its warnings."""
        limit = _limit_s(_timeouts(raw or {}), self._ready.provider.timeouts, verb)
        if preview:
            limit = min(limit, PREVIEW_S)
        warnings: list[Message] = []
        model, name = handler.spec if handler else None, (raw or {}).get("name")

        def warn(line: str) -> None:
            found = diagnostics.warning(diagnostics.title(name, line, plan=preview), line, model)
            if model is not None:
                found.detail = writeonly.named(model, raw or {}, found.detail)
            warnings.append(found)

        yield Work(time.monotonic() + limit, self.stopped, warn=warn), warnings


def _asked(raw: Raw) -> Raw:
    return {name: raw.get(name) for name in ASKED}


def _having(handler: AnyHandler, stored: Stored, found: dict[writeonly.Place, Any]) -> Stored:
    """What a state would hold if it kept its write-only values."""
    state, inputs = (writeonly.filled(handler.spec, bag, found) for bag in (stored.state, stored.inputs))
    return replace(stored, state=state, inputs=inputs)


def _timeouts(raw: Raw) -> Bag:
    given = raw.get("timeouts")
    return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else {}


def _limit_s(own: Bag, provider: Timeouts, verb: str) -> float:
    """How long a verb may take. In a plan neither the resource's limits nor the provider's need be known."""
    theirs = provider if known(provider) else Timeouts()
    told = (own.get(verb), getattr(theirs, verb), getattr(Timeouts(), verb))
    return float(duration_s(next(text for text in told if isinstance(text, str))))


def _failures(model: type[Spec], raw: Raw) -> Sequence[Failure]:
    """What is wrong with a configuration."""
    found = [Failure(path, "must not be null; leave it out") for path in nulls(model, raw)]
    if found:
        return found
    now = {place: one.value for place, one in writeonly.written(model, raw) if one.value is not None}
    return [*writeonly.placed(model, raw, check(model, writeonly.filled(model, to_bag(model, raw), now)).failures)]


def _replacing(handler: AnyHandler, changes: Plan) -> list[Message]:
    """Attributes whose change replaces. The host compares them one by one, so an item of a list stands for its list."""
    there = fields(handler.spec)
    names = {str(one.path[0]) for one in changes.changes if one.effect is Effect.REPLACE}
    return [diagnostics.step_path((there[name].attribute,)) for name in there if name in names]


def _reference(handler: AnyHandler | type[Handler[Any, Any]], raw: Raw) -> str:
    """The one of `id` and `name` that a look-up was given. Raises Invalid."""
    given = [raw[name] for name in ("id", "name") if raw.get(name) is not None]
    if len(given) != 1:
        raise Invalid(f"give either the id or the name of the {handler.kind}", path=("name",))
    return str(given[0])


def _capabilities() -> Message:
    return message("ServerCapabilities")(get_provider_schema_optional=True, move_resource_state=True)
