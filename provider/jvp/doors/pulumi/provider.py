"""The calls of the resource provider protocol that concern resources, functions and settings.

Every one turns its message into bags, makes one call of the core, and turns the answer back. Errors leave as
`JvpError` or `Unfinished`; `server.py` makes statuses of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from jvp.audit.lines import write
from jvp.audit.who import who
from jvp.core.audit import Audit, Caller
from jvp.core.calls import Calls
from jvp.core.check import Failure, failures_text, underived
from jvp.core.errors import Invalid, NameTaken, OtherHost, Path, Rejected, Unreachable, dotted
from jvp.core.handler import AnyFunction, AnyHandler, ResourceType
from jvp.core.identity import DeclaredBy, Key
from jvp.core.model import fields
from jvp.core.outlook import Asked
from jvp.core.stored import Stored
from jvp.core.text import harmless, shortened
from jvp.core.types import duration_s
from jvp.core.values import Bag, Secret, has_unknown, secret_texts
from jvp.core.work import Work
from jvp.doors.pulumi import config, detail, schema
from jvp.doors.pulumi.naming import named
from jvp.doors.pulumi.protocol import DIFF_NONE, DIFF_SOME, UPDATE, Empty, Message, message
from jvp.doors.pulumi.reporter import Lines, Reporter
from jvp.doors.pulumi.session import Session
from jvp.doors.pulumi.status import Unfinished, outputs, taken
from jvp.doors.pulumi.urns import Urn, name_of, token
from jvp.doors.pulumi.wire import PRIVATE, decode, encode, public
from jvp.resources.provider import Provider

PREVIEW_S = 15.0
"""How long a preview may ask the host for its warnings."""
JUST_IMPORTED = (
    "this {kind} was in the state already and has just been imported again, so it is not deleted as the engine would "
    'have it; take the import option out of the program, or write the id "{id}" there'
)

MakeCalls = Callable[[Provider], Calls]


@dataclass(frozen=True)
class _Configured:
    calls: Calls
    provider: Provider


class ProviderServicer:
    """The verbs over a registry of resources and functions. Safe to use from many threads."""

    def __init__(
        self,
        types: Mapping[str, type[ResourceType[Any, Any]]],
        functions: Mapping[str, type[AnyFunction]],
        make_calls: MakeCalls,
        session: Session | None = None,
    ) -> None:
        self.types = types
        self.functions = functions
        self.session = session or Session()
        self.reporter = Reporter()
        self._make_calls = make_calls
        self._configured: _Configured | None = None

    def schema(self) -> str:
        """The schema of these resources and functions."""
        return schema.text(self.types.values(), self.functions.values())

    # Settings

    def CheckConfig(self, request: Message, context: grpc.ServicerContext) -> Message:
        """The settings come back as they came: the engine stores them, and defaults belong to each version."""
        outcome = config.checked(decode(request.news))
        answer = message("CheckResponse")(inputs=request.news)
        _fail(answer, outcome.failures, {})
        return answer

    def DiffConfig(self, request: Message, context: grpc.ServicerContext) -> Message:
        """A changed setting never replaces the provider, for that would replace every object it made."""
        old = decode(request.old_inputs if request.HasField("old_inputs") else request.olds)
        names = config.changed(old, decode(request.news))
        answer = message("DiffResponse")(changes=DIFF_SOME if names else DIFF_NONE, diffs=names, hasDetailedDiff=True)
        for name in names:
            answer.detailedDiff[name].kind = UPDATE
            answer.detailedDiff[name].inputDiff = True
        return answer

    def Configure(self, request: Message, context: grpc.ServicerContext) -> Message:
        bag = decode(request.args) if request.HasField("args") else config.from_variables(request.variables)
        outcome = config.checked(bag)
        if outcome.spec is None:
            raise Invalid(f"the provider's settings are wrong: {failures_text(outcome.failures)}")
        calls = self._make_calls(outcome.spec)
        calls.secrets |= secret_texts(bag)
        calls.audit = Audit(write)
        self._configured = _Configured(calls, outcome.spec)
        return message("ConfigureResponse")(
            acceptSecrets=True, supportsPreview=True, acceptOutputs=True, supports_autonaming_configuration=True
        )

    # Functions

    def Invoke(self, request: Message, context: grpc.ServicerContext) -> Message:
        name = _known(request.tok, self.functions, "function")
        with self._work(context, "", 0, "update") as work:
            result, failures = self._ready.calls.invoke(name, public(decode(request.args)), work)
        answer = message("InvokeResponse")()
        getattr(answer, "return").CopyFrom(encode(result or {}))
        for failure in failures:
            answer.failures.add(property=detail.spelled(failure.path), reason=failure.message)
        return answer

    # Resources

    def Check(self, request: Message, context: grpc.ServicerContext) -> Message:
        handler = self._handler(request)
        answer = message("CheckResponse")(inputs=request.news)
        try:
            given = underived(handler.spec, public(decode(request.news)))
        except Invalid as error:
            _fail(answer, (Failure(error.path, error.message),), {})
            return answer
        old = public(decode(request.olds))
        asked = request.autonaming if request.HasField("autonaming") else None
        bag, nameless = named(handler.spec, given, old, asked)
        outcome = self._ready.calls.check(handler.token, bag)
        if nameless is None:
            failures = outcome.failures
        else:
            failures = (nameless, *(failure for failure in outcome.failures if failure.path != nameless.path))
        _fail(answer, failures, {name: value for name, value in given.items() if not _sensitive(handler, name)})
        if not failures:
            answer.inputs.CopyFrom(encode(outcome.inputs))
        return answer

    def Diff(self, request: Message, context: grpc.ServicerContext) -> Message:
        handler, stored = self._handler(request), _stored(request, request.olds)
        with self._work(context, request.urn, 0, "update", preview=True) as work:
            news = public(decode(request.news))
            plan = self._ready.calls.diff(handler.token, stored, news, work)
        return detail.response(handler, plan, stored, news, request.ignoreChanges)

    def Create(self, request: Message, context: grpc.ServicerContext) -> Message:
        handler, inputs = self._handler(request), public(decode(request.properties))
        calls, answer = self._ready.calls, message("CreateResponse")
        with self._work(context, request.urn, request.timeout, "create", preview=request.preview) as work:
            key, adopt = self._key(handler, request.urn), self._ready.provider.adopt

            def worded(error: NameTaken, key: Key) -> NameTaken:
                own = error.holder is not None and error.holder.of(key)
                return taken(error, (token(handler.token), key.label), own=own)

            if request.preview:
                asked = Asked(lambda: key, adopt, worded)
                return answer(properties=encode(calls.preview_create(handler.token, inputs, work, asked)))
            try:
                result = calls.create(handler.token, key, inputs, work, adopt=adopt)
            except NameTaken as error:
                raise worded(error, key) from None
        if result.reasons:
            raise Unfinished(result.stored)
        return answer(
            id=result.stored.id,
            properties=encode(outputs(result.stored)),
            refresh_before_update=self.session.refreshes,
        )

    def Read(self, request: Message, context: grpc.ServicerContext) -> Message:
        """A refresh has the state that we gave. An import has the id alone; `.get()` and `pulumi do` send some bag."""
        handler, calls = self._handler(request), self._ready.calls
        stored = _stored(request, request.properties, request.inputs)
        with self._work(context, request.urn, request.timeout, "update") as work:
            if stored.private:
                with _settings_of_before():
                    found = calls.read(handler.token, stored, work)
            else:
                found = calls.import_(handler.token, request.id, work)
        if found is None:
            return message("ReadResponse")()
        if not request.HasField("properties"):  # an import proper
            self.session.imported.add(found.id)
        # A read that succeeds makes the engine forget why the last create or update was not finished, and then it
        # would not update again (`deploy/step.go`, RefreshStep).
        if found.unfinished:
            raise Unfinished(found)
        return message("ReadResponse")(
            id=found.id,
            properties=encode(outputs(found)),
            inputs=encode(found.inputs),
            refresh_before_update=self.session.refreshes,
        )

    def Update(self, request: Message, context: grpc.ServicerContext) -> Message:
        handler, stored = self._handler(request), _stored(request, request.olds)
        calls, news, answer = self._ready.calls, public(decode(request.news)), message("UpdateResponse")
        with self._work(context, request.urn, request.timeout, "update", preview=request.preview) as work:
            if request.preview:
                state = calls.preview_update(handler.token, stored, news, work, defaults=True)
                return answer(properties=encode(state))
            result = calls.update(handler.token, stored, news, work, self._key(handler, request.urn))
        if result.reasons:
            raise Unfinished(result.stored)
        return answer(properties=encode(outputs(result.stored)), refresh_before_update=self.session.refreshes)

    def Delete(self, request: Message, context: grpc.ServicerContext) -> Message:
        """An `import_` by name on what is in the state already is a replacement to the engine: it imports the object
        once more and then deletes "the original", which is the same one.
        """
        handler, stored = self._handler(request), _stored(request, request.properties)
        with self._work(context, request.urn, request.timeout, "delete") as work:
            if stored.id in self.session.imported:
                work.warn(JUST_IMPORTED.format(kind=handler.kind, id=stored.id))
            else:
                self._ready.calls.delete(handler.token, stored, work)
        return Empty()

    def List(self, request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
        name = _known(request.token, self.types, "resource")
        query, answer = decode(request.query), message("ListResponse")
        if has_unknown(query):
            yield answer(computed={})
            return
        if public(query):
            raise Invalid(f"a listing takes no filter, but was given {', '.join(sorted(public(query)))}")
        with self._work(context, "", 0, "update") as work:
            for count, item in enumerate(self._ready.calls.list(name, work), 1):
                yield answer(result={"id": item.id, "name": item.name})
                if count == request.limit:
                    return

    # What they share

    @property
    def _ready(self) -> _Configured:
        if self._configured is None:
            raise Rejected("the provider is not configured yet")
        return self._configured

    def _handler(self, request: Message) -> AnyHandler:
        kind = request.type or Urn.parse(request.urn).type
        name = _known(kind, self.types, "resource")
        return self._ready.calls.handlers[name]

    def _key(self, handler: AnyHandler, text: str) -> Key:
        urn, owner = Urn.parse(text), self._ready.provider.owner
        declared_by = DeclaredBy.of("pulumi", urn.label, urn.address)
        return Key(owner or "", handler.token, urn.address, urn.name, declared_by)

    @contextmanager
    def _work(
        self, context: grpc.ServicerContext, urn: str, timeout_s: float, verb: str, *, preview: bool = False
    ) -> Iterator[Work]:
        """A verb's surroundings: its deadline (`customTimeouts` wins), its cancellation, its lines."""
        limit = timeout_s or float(duration_s(getattr(self._ready.provider.timeouts, verb)))
        if preview:
            limit = min(limit, PREVIEW_S)
        lines = Lines(self.reporter, self.session.engine, urn)
        caller = Caller(who(), "pulumi", program=Urn.parse(urn).label if urn else "")
        with self.session.call() as cancelled:
            context.add_callback(cancelled.set)  # an engine that is gone wants nothing any more
            try:
                yield Work(time.monotonic() + limit, cancelled, lines.status, lines.warn, replans=True, caller=caller)
            finally:
                lines.close()


@contextmanager
def _settings_of_before() -> Iterator[None]:
    """What the engine reads before it plans, it reads with the settings of the run before (tried with 3.259)."""
    try:
        yield
    except (OtherHost, Unreachable) as error:
        error.message += (
            "; if the uri was changed just now: the engine still reads with the old one, "
            'so run "pulumi up --refresh --run-program"'
        )
        raise


def _stored(request: Message, state: Message, inputs: Message | None = None) -> Stored:
    bag = decode(state)
    private = bag.get(PRIVATE)
    if isinstance(private, Secret):
        private = private.reveal()
    old = public(decode(request.old_inputs if inputs is None else inputs))
    return Stored(request.id, old, public(bag), private if isinstance(private, dict) else {})


def _known(typed: str, known: Iterable[str], what: str) -> str:
    name = name_of(typed)
    if name in known and typed == token(name):
        return name
    there = ", ".join(token(one) for one in sorted(known))
    raise Invalid(f'this version of jvp has no {what} "{typed}"; there are: {there or "none"}')


def _fail(answer: Message, failures: Iterable[Failure], given: Bag) -> None:
    """Add the failures as the engine shows them best.

    It prints the value at `property`, but looks for it among the top-level inputs alone (`{<nil>}` for any other
    path), and prints secrets, control characters and any length (`deploy/step_generator.go`, issueCheckFailures). So
    only a plain top-level property goes there, and every other path goes into the sentence.
    """
    for failure in failures:
        if _showable(failure.path, given):
            answer.failures.add(property=str(failure.path[0]), reason=failure.message)
        else:
            sentence = f"{dotted(failure.path)}: {failure.message}" if failure.path else failure.message
            answer.failures.add(reason=harmless(sentence))


def _sensitive(handler: AnyHandler, name: str) -> bool:
    known = fields(handler.spec)
    return name in known and known[name].sensitive


def _showable(path: Path, given: Bag) -> bool:
    value = given.get(str(path[0])) if len(path) == 1 else None
    return isinstance(value, str | int | float) and shortened(str(value)) == str(value)
