"""The calls of the provider protocol: each turns its message into bags, makes one call of the core, and answers.

Errors leave as `JvpError`; `server.py` makes diagnostics of them. Where the host must get a state back beside an error,
the call answers both itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from jvp.audit.lines import write
from jvp.core.abandon import run
from jvp.core.audit import Audit
from jvp.core.calls import Calls
from jvp.core.check import Failure, check
from jvp.core.errors import Invalid, JvpError, Rejected, Unreachable
from jvp.core.handler import AnyFunction, AnyHandler, AnyType, ResourceType
from jvp.core.later import Lazily
from jvp.core.model import Spec, fields
from jvp.core.work import Work
from jvp.doors.terraform import diagnostics, kept, moved, plan, readonly, schema, verbs, writeonly
from jvp.doors.terraform.configured import FIRST, LATER, Configured, timeouts
from jvp.doors.terraform.declared import Declared
from jvp.doors.terraform.functions import call
from jvp.doors.terraform.owner import default_owner, workspace
from jvp.doors.terraform.protocol import Message, message
from jvp.doors.terraform.schemas import CALLS, Schemas
from jvp.doors.terraform.upgrade import upgraded
from jvp.doors.terraform.values import Raw, decode, encode, nulls, to_bag, to_raw
from jvp.resources.provider import Provider, Timeouts

MakeCalls = Callable[[Provider], Calls]
T = TypeVar("T")


class ProviderServicer:
    """The verbs over a registry of resources and functions. Safe to use from many threads."""

    def __init__(
        self,
        types: Mapping[str, type[ResourceType[Any, Any]]],
        functions: Mapping[str, type[AnyFunction]],
        make_calls: MakeCalls,
        folder: Path | None = None,
        notes: Path | None = None,
        schemas: Schemas | None = None,
    ) -> None:
        """`folder` is the root module's; `notes` is where processes of one host tell each other what they make.

        `schemas` are those of the resources and functions, where they need not be made of the models.
        """
        self.types = _by_type_name(types)
        self.functions = _by_type_name(functions)
        self.stopped = threading.Event()
        self._make_calls = make_calls
        self._folder = folder or Path.cwd()
        self._configured: Configured | None = None
        self._notes = notes
        self.schemas = schemas or Schemas(lambda: schema.whole(self.types.values(), self.functions.values()))

    def method(self, name: str) -> Callable[[Message], Message]:
        """What answers a method of the protocol."""
        return getattr(self.schemas if name in CALLS else self, name)  # type: ignore[no-any-return]

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
        declared, calls = Declared(self._notes), self._make_calls(provider)
        calls.audit = Audit(write)
        self._configured = Configured(calls, provider, workspace(self._folder), declared, self.stopped)
        return answer()

    # Resources

    def ValidateResourceConfig(self, request: Message) -> Message:
        handler = self._type(request.type_name)
        raw = decode(request.config) or {}
        limits = check(Timeouts, own).failures if (own := timeouts(raw)) else ()
        allowed = request.client_capabilities.write_only_attributes_allowed
        wrong = [
            *readonly.failures(self.schemas.resource(request.type_name), raw),
            *writeonly.failures(handler.spec, raw, allowed=allowed),
            *_failures(handler.spec, raw),
        ]
        found = diagnostics.of_failures(wrong, handler.spec)
        failures = (replace(one, path=("timeouts", *one.path)) for one in limits)
        return message("ValidateResourceConfig.Response")(
            diagnostics=[*found, *diagnostics.of_failures(failures, handler.spec)]
        )

    def UpgradeResourceState(self, request: Message) -> Message:
        handler = self._type(request.type_name)
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
        with self._ready.work(handler, raw, "update") as (work, warnings):
            found = verbs.read(self._ready, handler, raw, request.private, work)
        if found is None:
            return answer(new_state=encode(None), diagnostics=warnings)
        return answer(
            new_state=encode(verbs.whole(handler, found, raw)), private=kept.packed(found), diagnostics=warnings
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
        with self._ready.work(handler, config, "create", preview=True) as (work, warnings):
            if prior is None:
                raw = verbs.planned_create(self._ready, handler, config, outcome, work)
                return answer(planned_state=encode(raw), diagnostics=warnings)
            stored = verbs.having(handler, kept.stored(handler, prior, request.prior_private), before)
            # In one thread: what the plan has seen of the node its warnings need not ask again.
            whole = (self._ready, handler, config, stored, outcome, prior, work)
            raw, changes = run(work, lambda: verbs.planned_update(*whole))
        return answer(
            planned_state=encode(raw),
            planned_private=kept.planned(request.prior_private, bag),
            requires_replace=verbs.replacing(handler, changes),
            diagnostics=warnings,
        )

    def ApplyResourceChange(self, request: Message) -> Message:
        handler = self._configured_handler(request.type_name)
        prior, promised, config = (decode(one) for one in (request.prior_state, request.planned_state, request.config))
        verb = verbs.create if prior is None else verbs.delete if promised is None else verbs.update
        answer = message("ApplyResourceChange.Response")
        before = kept.stored(handler, prior or {}, request.planned_private)
        then, now = writeonly.compared(handler.spec, prior, config, promised)
        adopt = self._ready.adopts(config)
        self._ready.declared.in_a_state(before.id)
        with self._ready.work(handler, config or prior, verb.__name__) as (work, warnings):
            try:
                given = to_bag(handler.spec, config or {})
                if prior is not None:
                    given = kept.given(handler, request.planned_private, given)
                given = writeonly.filled(handler.spec, given, now)
                whole = verbs.having(handler, before, then)
                done = run(work, lambda: verb(self._ready, handler, whole, given, bool(adopt), work))
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
            new_state=encode({**verbs.whole(handler, done, promised), **left}),
            private=kept.packed(done),
            diagnostics=[*warnings, *missing],
        )

    def ImportResourceState(self, request: Message) -> Message:
        handler = self._configured_handler(request.type_name)
        if self._ready.offline:
            raise Unreachable(f"{LATER}, and an import looks before; {FIRST}")
        with self._ready.work(handler, {}, "update") as (work, warnings):
            found = verbs.imported(self._ready, handler, request.id, work)
        answer = message("ImportResourceState.Response")(diagnostics=warnings)
        state = encode(verbs.whole(handler, found, {}))
        answer.imported_resources.add(type_name=request.type_name, state=state, private=kept.packed(found))
        return answer

    def MoveResourceState(self, request: Message) -> Message:
        handler = self._type(request.target_type_name)
        reference = moved.reference_in(
            request.source_provider_address,
            request.source_type_name,
            request.target_type_name,
            request.source_state.json,
        )
        raw = {
            **writeonly.closed(handler.state, to_raw(handler.state, {}), {}),
            **dict.fromkeys(verbs.ours(handler)),
            "id": moved.marked(reference),
        }
        return message("MoveResourceState.Response")(target_state=encode(raw))

    # Data sources

    def ValidateDataResourceConfig(self, request: Message) -> Message:
        raw = decode(request.config) or {}
        function = self.functions.get(request.type_name)
        model = function.args if function else self._type(request.type_name).spec
        if function is None:
            _reference(self._type(request.type_name), raw)
        listed = self.schemas.data_source(request.type_name)
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
        with self._ready.work(handler, {}, "update") as (work, warnings):
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
        found = verbs.imported(self._ready, handler, reference, work)
        given = {name: value for name, value in raw.items() if name in ("id", "name") and value is not None}
        return {**to_raw(handler.state, found.state), "id": found.id, **given}

    def CallFunction(self, request: Message) -> Message:
        return call(request)

    def StopProvider(self, request: Message) -> Message:
        self.stopped.set()
        return message("StopProvider.Response")()

    def model_of(self, request: Message) -> type[Spec]:
        """The model in whose properties errors of a request speak."""
        asked = request.DESCRIPTOR.full_name
        if "Data" in asked and request.type_name in self.functions:
            return self.functions[request.type_name].args
        if hasattr(request, "type_name"):
            return self._type(request.type_name).spec
        return Provider

    @property
    def _ready(self) -> Configured:
        if self._configured is None:
            raise Rejected("the provider is not configured yet")
        return self._configured

    def _type(self, name: str) -> type[ResourceType[Any, Any]]:
        if name not in self.types:
            raise Invalid(f'this version of jvp has no resource "{name}"; there are: {", ".join(sorted(self.types))}')
        return self.types[name]

    def _configured_handler(self, name: str) -> AnyHandler:
        return self._ready.calls.handlers[self._type(name).token]


def _by_type_name(declared: Mapping[str, T]) -> Mapping[str, T]:
    """What is registered by its token, by its name in configurations."""
    names = {schema.type_name(token): token for token in declared}
    return Lazily(names, lambda name: declared[names[name]])


def _failures(model: type[Spec], raw: Raw) -> Sequence[Failure]:
    """What is wrong with a configuration."""
    found = [Failure(path, "must not be null; leave it out") for path in nulls(model, raw)]
    if found:
        return found
    now = {place: one.value for place, one in writeonly.written(model, raw) if one.value is not None}
    return [*writeonly.placed(model, raw, check(model, writeonly.filled(model, to_bag(model, raw), now)).failures)]


def _reference(handler: AnyType, raw: Raw) -> str:
    """The one of `id` and `name` that a look-up was given. Raises Invalid."""
    given = [raw[name] for name in ("id", "name") if raw.get(name) is not None]
    if len(given) != 1:
        raise Invalid(f"give either the id or the name of the {handler.kind}", path=("name",))
    return str(given[0])
