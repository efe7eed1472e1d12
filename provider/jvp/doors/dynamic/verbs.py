"""The verbs of a dynamic resource: properties in, one call of the core, properties out.

`pulumi.dynamic` prints the traceback of every exception and then keeps nothing of the call. Therefore

    wrong input           is a failure of the check, which the engine shows as it is
    an unfinished create  is an error; the object stays, unacknowledged, and the next create goes on with it
    an unfinished update  is an error; the next update starts from the same state again

It gives a verb the outputs alone, so the inputs of the last one are kept among them.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from jvp.audit.lines import write
from jvp.audit.who import who as user
from jvp.core.audit import Audit, Caller
from jvp.core.calls import Calls
from jvp.core.check import Checked, Failure, check, failures_text, hide, underived
from jvp.core.errors import Invalid, JvpError, Path, Rejected, dotted
from jvp.core.facts import Effect
from jvp.core.identity import DeclaredBy, Key
from jvp.core.model import FieldFacts, fields
from jvp.core.stored import Result, Stored
from jvp.core.text import harmless, shortened
from jvp.core.types import duration_s
from jvp.core.values import Bag, Value
from jvp.core.work import Work
from jvp.doors.dynamic.reference import RESOURCE
from jvp.doors.dynamic.values import decode, encode, public
from jvp.resources import registry
from jvp.resources.provider import Provider

T = TypeVar("T")
Properties = dict[str, Any]
PRIVATE, INPUTS = "__jvp", "__inputs"
"""The outputs that carry what only we read: `Stored.private`, `Stored.inputs`."""


class Verbs:
    """The verbs of one resource, with the stack's settings. `config` gives a setting's text by its whole name."""

    def __init__(self, token: str, config: Callable[[str], Any], cancelled: threading.Event) -> None:
        self.token = token
        self._cancelled = cancelled
        self._settings = settings_of(config)

    def check(self, news: Properties) -> CheckResult:
        failures = self._settings.failures
        if failures:
            text = f"the stack's settings of jvp are wrong: {failures_text(failures)}"
            return CheckResult(news, [CheckFailure("", text)])
        try:
            given = underived(self._calls.handlers[self.token].spec, self._inputs(news))
        except Invalid as error:
            return CheckResult(news, [self._failure(Failure(error.path, error.message), {})])
        outcome = self._calls.check(self.token, given)
        if outcome.failures:
            return CheckResult(news, [self._failure(failure, given) for failure in outcome.failures])
        return CheckResult({**encode(outcome.inputs), RESOURCE: news[RESOURCE]}, [])

    def diff(self, id_: str, olds: Properties, news: Properties) -> DiffResult:
        stored, inputs = self._stored(id_, olds), self._inputs(news)
        plan = self._called(lambda: self._calls.diff(self.token, stored, inputs, self._work("update", news)))
        tops = [str(change.path[0]) for change in plan.changes if change.effect is Effect.REPLACE]
        replaces = list(dict.fromkeys(tops))
        first = bool(replaces) and self._calls.handlers[self.token].deletes_first(replaces)
        return DiffResult(changes=bool(plan.changes), replaces=replaces, delete_before_replace=first)

    def create(self, props: Properties) -> CreateResult:
        inputs, who = self._inputs(props), props[RESOURCE]
        key = self._key(who)
        adopt, work = self._provider.adopt, self._work("create", props)
        result = self._called(lambda: self._calls.create(self.token, key, inputs, work, adopt=adopt))
        self._refuse_unfinished(
            result, "it is on the node and not in the state yet; run pulumi up again, and it goes on"
        )
        return CreateResult(result.stored.id, self._outputs(result.stored, who))

    def read(self, id_: str, props: Properties) -> ReadResult:
        stored, who = self._stored(id_, props), props[RESOURCE]
        found = self._called(lambda: self._calls.read(self.token, stored, self._work("update", props)))
        if found is None:
            return ReadResult("", {})
        return ReadResult(id_, self._outputs(found, who), {**encode(found.inputs), RESOURCE: who})

    def update(self, id_: str, olds: Properties, news: Properties) -> UpdateResult:
        stored, inputs = self._stored(id_, olds), self._inputs(news)
        key, work = self._key(news[RESOURCE]), self._work("update", news)
        result = self._called(lambda: self._calls.update(self.token, stored, inputs, work, key))
        self._refuse_unfinished(result, "run pulumi up again, and it goes on")
        return UpdateResult(self._outputs(result.stored, news[RESOURCE]))

    def delete(self, id_: str, props: Properties) -> None:
        stored = self._stored(id_, props)
        self._called(lambda: self._calls.delete(self.token, stored, self._work("delete", props)))

    # What they share

    def _key(self, who: Properties) -> Key:
        """The plugin's own, so that the two forms make the same objects."""
        address, name = str(who["address"]), str(who["name"])
        declared_by = DeclaredBy.of("pulumi", _stack(address), address)
        return Key(self._provider.owner or "", self.token, address, name, declared_by)

    @property
    def _provider(self) -> Provider:
        return provider_of(self._settings)

    @property
    def _calls(self) -> Calls:
        return calls_of(self._provider)

    def _work(self, verb: str, props: Properties) -> Work:
        limit_s = float(duration_s(getattr(self._provider.timeouts, verb)))
        caller = Caller(user(), "dynamic", program=_stack(str(props[RESOURCE]["address"])))
        return Work(time.monotonic() + limit_s, self._cancelled, replans=True, caller=caller)

    def _called(self, call: Callable[[], T]) -> T:
        """What `call` returns. Its error is raised anew, so that the traceback that Pulumi prints is a short one."""
        try:
            return call()
        except JvpError as error:
            raised = type(error)(error.message, path=error.path)
        raise raised

    def _inputs(self, props: Properties) -> Bag:
        return self._closed(public(decode(props)), props.get(RESOURCE))

    def _closed(self, bag: Bag, who: Any) -> Bag:
        """The bag with Secrets where they belong: engines open them for a dynamic provider."""
        spec = self._calls.handlers[self.token].spec
        known = fields(spec)
        named = set(who["secrets"]) if isinstance(who, dict) else set()
        secret: set[Path] = {(name,) for name in bag if name in known and known[name].attribute in named}
        return hide(bag, secret, spec)

    def _stored(self, id_: str, props: Properties) -> Stored:
        bag, who = decode(props), props[RESOURCE]
        return Stored(id_, self._closed(bag[INPUTS], who), self._closed(public(bag), who), bag[PRIVATE])

    @staticmethod
    def _outputs(stored: Stored, who: Any) -> Properties:
        kept = {**stored.state, PRIVATE: stored.private, INPUTS: stored.inputs}
        return {**encode(kept), RESOURCE: who}

    def _failure(self, failure: Failure, given: Bag) -> CheckFailure:
        """The engine prints the value at a property as it is, secret or not, and finds top-level ones only."""
        if _showable(failure.path, given, fields(self._calls.handlers[self.token].spec)):
            return CheckFailure(str(failure.path[0]), failure.message)
        sentence = f"{dotted(failure.path)}: {failure.message}" if failure.path else failure.message
        return CheckFailure("", harmless(sentence))

    @staticmethod
    def _refuse_unfinished(result: Result, remedy: str) -> None:
        if result.reasons:
            raise Rejected(f"{'; '.join(result.reasons)}; {remedy}")


@cache
def calls_of(provider: Provider) -> Calls:
    """One set of calls, and so one connection, for all resources of a process."""
    calls = registry.calls(provider)
    calls.audit = Audit(write)
    return calls


def _stack(address: str) -> str:
    """Project and stack, as people call them."""
    stack, project, *_ = [*address.split("::"), ""]
    return f"{project}/{stack.removeprefix('urn:pulumi:')}"


def settings_of(config: Callable[[str], Any]) -> Checked[Provider]:
    """What the stack sets under `jvp:`. The engine has text only; what is not a string is JSON."""
    found = ((name, facts, config(f"jvp:{name}")) for name, facts in fields(Provider).items())
    return check(Provider, {name: _opened(value, facts) for name, facts, value in found if value is not None})


def provider_of(settings: Checked[Provider]) -> Provider:
    """The settings that were checked. Raises Invalid."""
    if settings.spec is None:
        raise Invalid(f"the stack's settings of jvp are wrong: {failures_text(settings.failures)}")
    return settings.spec


def _opened(value: Value, facts: FieldFacts) -> Value:
    if facts.annotation is str or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value  # plain text for a choice of words, or a mistake: the check says which


def _showable(path: Path, given: Bag, known: dict[str, FieldFacts]) -> bool:
    top = str(path[0]) if path else ""
    sensitive = top in known and known[top].sensitive
    value = given.get(top)
    fits = isinstance(value, str | int | float) and shortened(str(value)) == str(value)
    return len(path) == 1 and not sensitive and fits
