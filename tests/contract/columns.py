"""The doors as their engines use them: one column of the parity table each, over real gRPC. Those without an engine
are in `plain_columns.py`.

A column keeps what its engine keeps between two runs, and makes the calls of a run: refresh, check, plan, apply. What a
run did comes back as `Told`, in the same words for every door. Properties are in the core's spelling.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc

from jvp.core.model import fields
from jvp.core.values import UNKNOWN, reveal
from jvp.doors.pulumi import protocol as pulumi
from jvp.doors.pulumi import server as pulumi_server
from jvp.doors.pulumi.urns import token as pulumi_type
from jvp.doors.pulumi.wire import decode, encode, public
from jvp.doors.terraform import protocol as terraform
from jvp.doors.terraform import schema, spelling, values
from jvp.doors.terraform import server as terraform_server
from jvp.resources import registry

Bag = dict[str, Any]
SETTINGS: Bag = {"virtType": "qemu"}
LISTS = {f"get{token}s": token for token in registry.TYPES}
"""The functions that list a kind, and which."""


@dataclass(frozen=True)
class Told:
    """What one run did, or would do."""

    action: str
    """create, update, replace, none, gone; refused when nothing was done; unfinished when something is left to do."""
    changed: frozenset[str] = frozenset()
    """The properties that the plan names."""
    sentence: str = ""
    """Why it was refused, or is unfinished."""
    unknown: frozenset[str] = frozenset()
    """The outputs that a plan of a create leaves open."""


@dataclass
class Kept:
    """What an engine keeps of one resource."""

    token: str
    id: str = ""
    inputs: Bag = field(default_factory=dict)
    state: Any = None
    private: bytes = b""
    unfinished: bool = False


class Column(Protocol):
    """One door with its engine."""

    name: str
    kept: dict[str, Kept]
    is_engine: bool
    """Whether something between a person and the door keeps a state, imports, and makes anew what is replaced."""

    def plan(self, token: str, label: str, raw: Bag) -> Told: ...

    def up(self, token: str, label: str, raw: Bag) -> Told: ...

    def destroy(self, label: str) -> Told: ...

    def import_(self, token: str, label: str, reference: str) -> Told: ...

    def outputs(self, label: str) -> Bag: ...

    def ask(self, function: str, args: Bag) -> Bag:
        """What a function answers."""
        ...

    def act(self, action: str, reference: str, args: Bag) -> Bag | None:
        """What an action answers; None where this door has no form of it."""
        ...

    def cancel(self) -> None: ...

    def close(self) -> None: ...


class Refused(Exception):
    """A call that the door refused, in its own words."""


def said(token: str, sentence: str) -> str:
    """A sentence in the spelling that doors differ in."""
    return spelling.spoken(sentence, registry.RESOURCES[token].spec)


class Acting:
    """How an engine acts: by the resource that stands for the action, where one does."""

    def act(self: Column, action: str, reference: str, args: Bag) -> Bag | None:
        found = [token for token, one in registry.RESOURCES.items() if one.stands_for == action]
        for token in found:
            on = registry.ACTIONS[action].on
            told = self.up(token, "act", {f"{on[:1].lower()}{on[1:]}": reference, **args})
            assert told.action == "create", told
            outputs = self.outputs("act")
            self.destroy("act")
            return {name: outputs[name] for name in fields(registry.ACTIONS[action].result)}
        return None


class Pulumi(Acting):
    """The Pulumi engine, with refresh before update."""

    name = "pulumi"
    is_engine = True

    def __init__(self, _folder: Path) -> None:
        self.kept: dict[str, Kept] = {}
        # Two test runs on one node are two programs.
        self._project = f"parity-{uuid.uuid4()}"
        from jvp.doors.pulumi.plugin import registered

        self._server, port = pulumi_server.serve(pulumi_server.Service(registered))
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_metadata_size", 2**24)])
        self._methods = {one.name: one for one in pulumi.methods(pulumi.PROVIDER)}
        self._begin()
        self._call("Configure", args=encode(SETTINGS), acceptSecrets=True)

    def plan(self, token: str, label: str, raw: Bag) -> Told:
        self._begin()
        try:
            have, news = self._ready(token, label, raw)
            if have is None:
                reply = self._verb("Create", token, label, properties=encode(news), preview=True)
                shown = public(decode(reply.properties))
                outputs = set(fields(registry.RESOURCES[token].state)) - set(fields(registry.TYPES[token].spec))
                return Told("create", unknown=frozenset(one for one in outputs if shown.get(one, UNKNOWN) is UNKNOWN))
            return self._planned(have, label, news)
        except Refused as error:
            return Told("refused", sentence=said(token, str(error)))

    def up(self, token: str, label: str, raw: Bag) -> Told:
        self._begin()
        try:
            have, news = self._ready(token, label, raw)
            if have is None:
                return self._create(Told("create"), token, label, news)
            told = self._planned(have, label, news)
            if told.action == "replace":
                self._delete(label)
                return self._create(told, token, label, news)
            return self._update(told, have, label, news) if told.action == "update" else told
        except Refused as error:
            return Told("refused", sentence=said(token, str(error)))

    def destroy(self, label: str) -> Told:
        self._begin()
        try:
            if not self._refreshed(label):
                return Told("gone")
            self._delete(label)
        except Refused as error:
            return Told("refused", sentence=said(self.kept[label].token, str(error)))
        return Told("gone")

    def import_(self, token: str, label: str, reference: str) -> Told:
        reply = self._verb("Read", token, label, id=reference)
        if not reply.id:
            return Told("refused", sentence=f'there is no {registry.RESOURCES[token].kind} "{reference}"')
        self.kept[label] = Kept(token, reply.id, decode(reply.inputs), decode(reply.properties))
        return Told("create")

    def outputs(self, label: str) -> Bag:
        return dict(reveal(public(self.kept[label].state)))

    def ask(self, function: str, args: Bag) -> Bag:
        reply = self._call("Invoke", tok=pulumi_type(function), args=encode(args))
        assert not reply.failures, reply.failures
        return dict(reveal(public(decode(getattr(reply, "return")))))

    def cancel(self) -> None:
        self._call("Cancel")

    def close(self) -> None:
        self._channel.close()
        self._server.stop(0).wait()

    def _begin(self) -> None:
        """Another run of the engine."""
        self._call("Handshake", supports_refresh_before_update=True)

    def _ready(self, token: str, label: str, raw: Bag) -> tuple[Kept | None, Bag]:
        """What is kept after a refresh, and the checked inputs."""
        have = self.kept.get(label) if self._refreshed(label) else None
        olds = encode(have.inputs) if have else encode({})
        reply = self._verb("Check", token, label, news=encode(raw), olds=olds)
        if reply.failures:
            lines = (f"{one.property}: {one.reason}" if one.property else one.reason for one in reply.failures)
            raise Refused("; ".join(lines))
        return have, decode(reply.inputs)

    def _refreshed(self, label: str) -> bool:
        have = self.kept.get(label)
        if have is None:
            return False
        try:
            reply = self._verb(
                "Read", have.token, label, id=have.id, inputs=encode(have.inputs), properties=encode(have.state)
            )
        except Unfinished as error:
            self._keep(have.token, label, error.detail)
            self.kept[label].unfinished = True
            return True
        if not reply.id:
            del self.kept[label]
            return False
        have.inputs, have.state = decode(reply.inputs), decode(reply.properties)
        return True

    def _planned(self, have: Kept, label: str, news: Bag) -> Told:
        reply = self._verb(
            "Diff", have.token, label, id=have.id, olds=encode(have.state), old_inputs=encode(have.inputs),
            news=encode(news),
        )  # fmt: skip
        changed = frozenset(reply.diffs)
        if reply.changes != pulumi.DIFF_SOME:
            return Told("update" if have.unfinished else "none")
        return Told("replace" if reply.replaces else "update", changed)

    def _create(self, told: Told, token: str, label: str, news: Bag) -> Told:
        try:
            reply = self._verb("Create", token, label, properties=encode(news))
        except Unfinished as error:
            return self._left(told, token, label, error)
        self.kept[label] = Kept(token, reply.id, news, decode(reply.properties))
        return told

    def _update(self, told: Told, have: Kept, label: str, news: Bag) -> Told:
        try:
            reply = self._verb(
                "Update", have.token, label, id=have.id, olds=encode(have.state), old_inputs=encode(have.inputs),
                news=encode(news),
            )  # fmt: skip
        except Unfinished as error:
            return self._left(told, have.token, label, error)
        self.kept[label] = Kept(have.token, have.id, news, decode(reply.properties))
        return told

    def _left(self, told: Told, token: str, label: str, error: Unfinished) -> Told:
        self._keep(token, label, error.detail)
        self.kept[label].unfinished = True
        return Told("unfinished", told.changed, said(token, "; ".join(error.detail.reasons)))

    def _keep(self, token: str, label: str, detail: Any) -> None:
        self.kept[label] = Kept(token, detail.id, decode(detail.inputs), decode(detail.properties))

    def _delete(self, label: str) -> None:
        have = self.kept[label]
        self._verb(
            "Delete", have.token, label, id=have.id, properties=encode(have.state), old_inputs=encode(have.inputs)
        )
        del self.kept[label]

    def _verb(self, method: str, token: str, label: str, **given: Any) -> Any:
        kind = pulumi_type(token)
        return self._call(method, urn=f"urn:pulumi:dev::{self._project}::{kind}::{label}", type=kind, **given)

    def _call(self, method: str, **given: Any) -> Any:
        kind = self._methods[method]
        request, response = (pulumi.message(one.full_name) for one in (kind.input_type, kind.output_type))
        stub = self._channel.unary_unary(
            f"/{pulumi.PROVIDER}/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        known = request.DESCRIPTOR.fields_by_name
        try:
            return stub(request(**{name: one for name, one in given.items() if name in known}), timeout=120)
        except grpc.RpcError as error:
            packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
            if packed is None:
                raise Refused(error.details()) from None
            (detail,) = pulumi.RpcStatus.FromString(packed).details
            raise Unfinished(pulumi.message("ErrorResourceInitFailed").FromString(detail.value)) from None


class Unfinished(Exception):
    """An object that exists and is not as declared."""

    def __init__(self, detail: Any) -> None:
        super().__init__("; ".join(detail.reasons))
        self.detail = detail


class Terraform(Acting):
    """Terraform or OpenTofu: a failed create is tainted, and so replaced by the next run."""

    name = "terraform"
    is_engine = True

    def __init__(self, folder: Path) -> None:
        self.kept: dict[str, Kept] = {}
        from jvp.doors.terraform.plugin import registered

        self.service = terraform_server.Service(registered)
        address = f"unix:{folder}/parity.sock"
        self._server = terraform_server.start(self.service, address, None)
        self._channel = grpc.insecure_channel(address)
        self._methods = {one.name: one for one in terraform.methods(terraform.PROVIDER)}
        self._configure()

    def _configure(self) -> None:
        given = {**values.to_raw(schema.Provider, {}), "virt_type": "qemu"}
        self._call("ConfigureProvider", config=values.encode(given))

    def plan(self, token: str, label: str, raw: Bag) -> Told:
        try:
            return self._run(token, label, raw, apply=False)
        except Refused as error:
            return Told("refused", sentence=str(error))

    def up(self, token: str, label: str, raw: Bag) -> Told:
        try:
            return self._run(token, label, raw, apply=True)
        except Refused as error:
            return Told("refused", sentence=str(error))

    def destroy(self, label: str) -> Told:
        try:
            if self._refreshed(label):
                self._delete(label)
        except Refused as error:
            return Told("refused", sentence=str(error))
        return Told("gone")

    def import_(self, token: str, label: str, reference: str) -> Told:
        reply = self._call("ImportResourceState", type_name=schema.type_name(token), id=reference)
        (found,) = reply.imported_resources
        self.kept[label] = Kept(token, state=values.decode(found.state), private=found.private)
        return Told("create" if self._refreshed(label) else "gone")

    def outputs(self, label: str) -> Bag:
        have = self.kept[label]
        return dict(reveal(values.to_bag(registry.RESOURCES[have.token].state, have.state)))

    def ask(self, function: str, args: Bag) -> Bag:
        declared, name = registry.FUNCTIONS[function], schema.type_name(function)
        config = {**values.to_raw(declared.result, {}), **values.to_raw(declared.args, args)}
        self._call("ValidateDataResourceConfig", type_name=name, config=values.encode(config))
        reply = self._call("ReadDataSource", type_name=name, config=values.encode(config))
        return dict(reveal(values.to_bag(declared.result, values.decode(reply.state))))

    def cancel(self) -> None:
        self._call("StopProvider")
        self._configure()  # the next run

    def close(self) -> None:
        self._channel.close()
        self._server.stop(0).wait()

    def _run(self, token: str, label: str, raw: Bag, *, apply: bool) -> Told:
        handler, kind = registry.RESOURCES[token], schema.type_name(token)
        config = {**values.to_raw(handler.spec, raw), **dict.fromkeys(("id", "unfinished", "timeouts", "adopt"))}
        config |= {facts.attribute: None for facts in fields(handler.state).values() if facts.output is not None}
        self._call("ValidateResourceConfig", type_name=kind, config=values.encode(config))
        have = self.kept.get(label) if self._refreshed(label) else None
        prior = None if have is None else have.state
        planned, replaces = self._planned(kind, prior, config, have)
        action = "create" if have is None else "none" if planned == prior else "replace" if replaces else "update"
        if have is not None and have.unfinished:
            action = "replace"
        changed = frozenset() if have is None else frozenset(_changed(token, prior, planned))
        told = Told(action, changed, unknown=frozenset(_open(token, planned)) if have is None else frozenset())
        if not apply or action == "none":
            return told
        if action == "replace":
            self._delete(label)
            have, prior = None, None
            planned, _ = self._planned(kind, None, config, None)
        return self._applied(Told(told.action, told.changed), label, Kept(token), kind, prior, planned, config, have)

    def _planned(self, kind: str, prior: Any, config: Bag, have: Kept | None) -> tuple[Any, list[str]]:
        reply = self._call(
            "PlanResourceChange", type_name=kind, prior_state=values.encode(prior), config=values.encode(config),
            proposed_new_state=values.encode(config), prior_private=have.private if have else b"",
        )  # fmt: skip
        return values.decode(reply.planned_state), [path.steps[0].attribute_name for path in reply.requires_replace]

    def _applied(
        self, told: Told, label: str, kept: Kept, kind: str, prior: Any, planned: Any, config: Bag, have: Kept | None
    ) -> Told:
        reply = self._reply(
            "ApplyResourceChange", type_name=kind, prior_state=values.encode(prior), config=values.encode(config),
            planned_state=values.encode(planned), planned_private=have.private if have else b"",
        )  # fmt: skip
        state, errors = values.decode(reply.new_state), _errors(reply)
        if state is not None:
            kept.state, kept.private = state, reply.private
            kept.unfinished = bool(errors) and have is None
            self.kept[label] = kept
        if errors and (state is None or state == prior):
            raise Refused("; ".join(errors))
        if errors:
            return Told("unfinished", told.changed, "; ".join(errors))
        _hold(planned, state, "")
        return told

    def _refreshed(self, label: str) -> bool:
        have = self.kept.get(label)
        if have is None:
            return False
        kind = schema.type_name(have.token)
        reply = self._call(
            "ReadResource", type_name=kind, current_state=values.encode(have.state), private=have.private
        )
        state = values.decode(reply.new_state)
        if state is None:
            del self.kept[label]
            return False
        have.state, have.private = state, reply.private
        return True

    def _delete(self, label: str) -> None:
        have = self.kept[label]
        self._call(
            "ApplyResourceChange", type_name=schema.type_name(have.token), prior_state=values.encode(have.state),
            planned_state=values.encode(None), config=values.encode(None), planned_private=have.private,
        )  # fmt: skip
        del self.kept[label]

    def _call(self, method: str, **given: Any) -> Any:
        reply = self._reply(method, **given)
        if errors := _errors(reply):
            raise Refused("; ".join(errors))
        return reply

    def _reply(self, method: str, **given: Any) -> Any:
        kind = self._methods[method]
        request, response = (terraform.message(one.full_name) for one in (kind.input_type, kind.output_type))
        stub = self._channel.unary_unary(
            f"/{terraform.PROVIDER}/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return stub(request(**given), timeout=120)


ENGINES: tuple[Callable[[Path], Column], ...] = (Pulumi, Terraform)


def _errors(reply: Any) -> list[str]:
    return [one.detail for one in getattr(reply, "diagnostics", ()) if one.severity == terraform.ERROR]


def _changed(token: str, prior: Bag, planned: Bag) -> Iterator[str]:
    for name, facts in fields(registry.RESOURCES[token].spec).items():
        if prior.get(facts.attribute) != planned.get(facts.attribute):
            yield name


def _open(token: str, planned: Bag) -> Iterator[str]:
    for name, facts in fields(registry.RESOURCES[token].state).items():
        if facts.output is not None and planned.get(facts.attribute) is UNKNOWN:
            yield name


def _hold(planned: Any, state: Any, where: str) -> None:
    """What was planned came back the same, and nothing is unknown."""
    if isinstance(planned, dict):
        assert isinstance(state, dict), where
        for name, value in planned.items():
            _hold(value, state[name], f"{where}.{name}")
    elif isinstance(planned, list):
        assert isinstance(state, list), where
        assert len(planned) == len(state), where
        for index, value in enumerate(planned):
            _hold(value, state[index], f"{where}[{index}]")
    elif planned is not UNKNOWN:
        assert planned == state, f"{where}: planned {planned!r}, and it is {state!r}"
