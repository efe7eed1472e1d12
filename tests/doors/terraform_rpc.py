"""The other side of Terraform's protocol: how a host starts a provider, greets it, and what it does with answers."""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import host_rules
import ormsgpack
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from host_rules import Block

from jvp.core.values import UNKNOWN
from jvp.doors.terraform import protocol, server
from jvp.doors.terraform.protocol import message

COOKIE = {"TF_PLUGIN_MAGIC_COOKIE": "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"}
ERROR, WARNING = 1, 2
Raw = dict[str, Any]
_MARK = ormsgpack.Ext(0, b"\0")
_REFINED = ormsgpack.Ext(12, b"\x81\x01\xc2")
"""An unknown value that is known not to be null."""


# Values


def packed(value: Any, *, refined: bool = False) -> Any:
    """A DynamicValue as a host sends it."""

    def unknown(inner: Any) -> Any:
        assert inner is UNKNOWN, inner
        return _REFINED if refined else _MARK

    return protocol.DynamicValue(msgpack=ormsgpack.packb(value, default=unknown))


def unpacked(value: Any) -> Any:
    """What is in a DynamicValue; an absent one is null to a host."""
    return ormsgpack.unpackb(value.msgpack, ext_hook=lambda *_: UNKNOWN) if value.msgpack else None


# The process


@dataclass(frozen=True)
class Identity:
    """A host's key and certificate, of the kind that go-plugin makes."""

    key: bytes
    certificate: bytes


def identity() -> Identity:
    """A fresh one. Source: go-plugin, `mtls.go`."""
    key = ec.generate_private_key(ec.SECP521R1())
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost"),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "HashiCorp"),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(seconds=30))
    builder = builder.not_valid_after(now + datetime.timedelta(hours=262980))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    pem = serialization.Encoding.PEM
    return Identity(
        key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()),
        builder.sign(key, hashes.SHA512()).public_bytes(pem),
    )


@dataclass(frozen=True)
class Handshake:
    """The line by which a provider says where it listens."""

    core: str
    version: str
    network: str
    socket: Path
    kind: str
    certificate: bytes | None
    """PEM; None without TLS."""


def handshake(process: subprocess.Popen[bytes]) -> Handshake:
    """The first line of a provider."""
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    assert line, process.stderr.read().decode() if process.stderr else ""
    core, version, network, address, kind, certificate = line.rstrip("\n").split("|")
    pem = None
    if certificate:
        assert "=" not in certificate  # a host's decoder takes no padding
        der = base64.b64decode(certificate + "=" * (-len(certificate) % 4), validate=True)
        pem = x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)
    return Handshake(core, version, network, Path(address), kind, pem)


def environment(whose: Identity | None = None, **more: str) -> dict[str, str]:
    """What a host adds to the environment of a provider."""
    tls = {"PLUGIN_CLIENT_CERT": whose.certificate.decode()} if whose else {}
    return {**COOKIE, "PLUGIN_PROTOCOL_VERSIONS": "5,6", "PLUGIN_MIN_PORT": "10000", **tls, **more}


# Calls


class Client:
    """Calls the methods of a provider that listens at a socket."""

    def __init__(self, socket: Path, root: bytes | None = None, whose: Identity | None = None) -> None:
        # Each its own connection, as each host has.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 2**28)]
        if root is None:
            self.channel = grpc.insecure_channel(f"unix:{socket}", options=options)
        else:
            secret = grpc.ssl_channel_credentials(root, *((whose.key, whose.certificate) if whose else ()))
            options.append(("grpc.ssl_target_name_override", "localhost"))
            self.channel = grpc.secure_channel(f"unix:{socket}", secret, options=options)

    def __call__(self, method: str, request: Any, *, wait_s: float = 120) -> Any:
        return self._stub(protocol.PROVIDER, method)(request, timeout=wait_s)

    def start(self, method: str, request: Any) -> Any:
        """The call as a future."""
        return self._stub(protocol.PROVIDER, method).future(request, timeout=120)

    def shut_down(self) -> None:
        self._stub(protocol.CONTROLLER, "Shutdown")(message("plugin.Empty")(), timeout=120)

    def listen(self) -> Any:
        """Ask for what the provider prints, as every host does for as long as it lives."""
        stub = self.channel.unary_stream(
            f"/{protocol.STDIO}/StreamStdio",
            request_serializer=message("plugin.Empty").SerializeToString,
            response_deserializer=message("plugin.StdioData").FromString,
        )
        return stub(message("plugin.Empty")())

    def _stub(self, service: str, method: str) -> Any:
        (kind,) = (one for one in protocol.methods(service) if one.name == method)
        return self.channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=message(kind.input_type.full_name).SerializeToString,
            response_deserializer=message(kind.output_type.full_name).FromString,
        )

    def close(self) -> None:
        self.channel.close()


# What hosts do with the answers


@dataclass(frozen=True)
class Said:
    """One diagnostic."""

    title: str
    detail: str
    path: tuple[Any, ...] = ()
    """Names of attributes, indices, and keys of maps as a list of one."""


def said(answer: Any, severity: int = ERROR) -> list[Said]:
    """The errors, or the warnings, of an answer."""
    return [
        Said(one.summary, one.detail, tuple(map(_step, one.attribute.steps)))
        for one in answer.diagnostics
        if one.severity == severity
    ]


def _step(step: Any) -> Any:
    kind = step.WhichOneof("selector")
    return [step.element_key_string] if kind == "element_key_string" else getattr(step, kind)


@dataclass(frozen=True)
class Planned:
    """A plan that the host takes."""

    kind: str
    config: Raw | None
    prior: Raw | None
    state: Raw | None
    private: bytes
    replaces: bool
    """Whether the host replaces the object."""
    paths: list[tuple[Any, ...]]
    warnings: list[Said]

    @property
    def is_nothing(self) -> bool:
        return bool(self.state == self.prior)


@dataclass(frozen=True)
class Applied:
    """What is in the host's state after an apply."""

    kind: str
    state: Raw | None
    private: bytes
    errors: list[Said]
    warnings: list[Said]


@dataclass
class Engine:
    """A host: it fills in what a configuration leaves out, and takes no answer that breaks its rules.

    `call` takes a method and a request.
    """

    call: Callable[[str, Any], Any]
    refined: bool = False
    old: bool = False
    """Whether it is one that knows no write-only attributes."""
    _blocks: dict[str, Block] = field(default_factory=dict)

    def ask(self, method: str, **values: Any) -> Any:
        """Call a method."""
        return self.call(method, self.request(method, **values))

    def request(self, method: str, **values: Any) -> Any:
        """A request; values become DynamicValues where the protocol has those."""
        (kind,) = (one for one in protocol.methods(protocol.PROVIDER) if one.name == method)
        known = kind.input_type.fields_by_name
        filled = {
            name: packed(value, refined=self.refined)
            if known[name].message_type is not None and known[name].message_type.name == "DynamicValue"
            else value
            for name, value in values.items()
        }
        return message(kind.input_type.full_name)(**filled)

    def block(self, kind: str) -> Block:
        """The schema of a resource, of a data source (`data.jvp_x`), or of the provider (`provider`)."""
        if not self._blocks:
            answer = self.ask("GetProviderSchema")
            listed = {
                "provider": answer.provider,
                **answer.resource_schemas,
                **{f"data.{name}": one for name, one in answer.data_source_schemas.items()},
            }
            self._blocks |= {name: host_rules.block_of(one.block.attributes) for name, one in listed.items()}
        return self._blocks[kind]

    def filled(self, kind: str, given: Raw) -> Raw:
        """`given` with null for every attribute that it leaves out."""
        return _filled(self.block(kind), given)

    def configure(self, **settings: Any) -> list[Said]:
        return said(self.ask("ConfigureProvider", config=self.filled("provider", settings)))

    def failures(self, kind: str, given: Raw) -> list[Said]:
        """What the provider finds wrong with a configuration."""
        config = self.filled(kind, given)
        if kind.startswith("data."):
            return said(self.ask("ValidateDataResourceConfig", type_name=kind.removeprefix("data."), config=config))
        able = {"write_only_attributes_allowed": not self.old}
        return said(self.ask("ValidateResourceConfig", type_name=kind, config=config, client_capabilities=able))

    def planning(self, kind: str, given: Raw, after: Applied | None = None) -> Any:
        """The answer to a plan, good or bad."""
        block, prior = self.block(kind), after.state if after else None
        config = self.filled(kind, given)
        return self.ask(
            "PlanResourceChange", type_name=kind, config=config, prior_state=prior,
            proposed_new_state=host_rules.proposed(block, prior, config), prior_private=after.private if after else b"",
        )  # fmt: skip

    def plan(self, kind: str, given: Raw, after: Applied | None = None) -> Planned:
        """A plan for an object, new or as it is `after` an apply. Asserts that a host would take it."""
        block, config, prior = self.block(kind), self.filled(kind, given), after.state if after else None
        answer = self.planning(kind, given, after)
        assert not said(answer), said(answer)
        state = unpacked(answer.planned_state)
        wrong = host_rules.mistyped(block, state) + host_rules.told(block, state)
        assert not wrong, wrong
        errors = host_rules.plan_errors(block, prior, config, state)
        assert not errors, errors
        paths = [tuple(map(_step, one.steps)) for one in answer.requires_replace]
        replaces, wrong = host_rules.replaces(prior, state, paths) if prior else (False, [])
        assert not wrong, wrong
        return Planned(kind, config, prior, state, answer.planned_private, replaces, paths, said(answer, WARNING))

    def plan_delete(self, after: Applied) -> Planned:
        answer = self.ask(
            "PlanResourceChange", type_name=after.kind, config=None, prior_state=after.state, proposed_new_state=None,
            prior_private=after.private,
        )  # fmt: skip
        assert not said(answer), said(answer)
        assert unpacked(answer.planned_state) is None
        return Planned(after.kind, None, after.state, None, answer.planned_private, False, [], said(answer, WARNING))

    def applying(self, planned: Planned) -> tuple[str, dict[str, Any]]:
        """The method and the values of an apply."""
        return "ApplyResourceChange", {
            "type_name": planned.kind, "config": planned.config, "prior_state": planned.prior,
            "planned_state": planned.state, "planned_private": planned.private,
        }  # fmt: skip

    def apply(self, planned: Planned) -> Applied:
        """Apply a plan. Asserts that a host would take the outcome."""
        method, values = self.applying(planned)
        return self.applied(planned, self.ask(method, **values))

    def applied(self, planned: Planned, answer: Any) -> Applied:
        block, state = self.block(planned.kind), unpacked(answer.new_state)
        errors = said(answer)
        wrong = host_rules.mistyped(block, state, known=True) + host_rules.told(block, state)
        if not errors:
            wrong += host_rules.broken_promises(planned.state, state)
        assert not wrong, wrong
        return Applied(planned.kind, state, answer.private, errors, said(answer, WARNING))

    def create(self, kind: str, given: Raw) -> Applied:
        """Plan and apply; no errors."""
        return self.done(self.plan(kind, given))

    def update(self, after: Applied, given: Raw) -> Applied:
        return self.done(self.plan(after.kind, given, after))

    def done(self, planned: Planned) -> Applied:
        applied = self.apply(planned)
        assert not applied.errors, applied.errors
        return applied

    def read(self, after: Applied) -> Applied:
        """A refresh."""
        answer = self.ask("ReadResource", type_name=after.kind, current_state=after.state, private=after.private)
        state = unpacked(answer.new_state)
        wrong = host_rules.mistyped(self.block(after.kind), state, known=True)
        assert not wrong, wrong
        return Applied(after.kind, state, answer.private, said(answer), said(answer, WARNING))

    def upgrade(self, kind: str, state: Any, version: int = 1) -> tuple[Any, list[Said]]:
        """What the provider makes of a stored state: an object, or the text itself."""
        text = state if isinstance(state, bytes) else json.dumps(state).encode()
        raw = message("RawState")(json=text)
        answer = self.ask("UpgradeResourceState", type_name=kind, version=version, raw_state=raw)
        found = unpacked(answer.upgraded_state)
        wrong = host_rules.mistyped(self.block(kind), found, known=True)
        assert not wrong, wrong
        return found, said(answer)

    def imported(self, kind: str, reference: str) -> Applied:
        """An import, and the read that every host does after it."""
        answer = self.ask("ImportResourceState", type_name=kind, id=reference)
        if said(answer):
            return Applied(kind, None, b"", said(answer), [])
        (one,) = answer.imported_resources
        assert one.type_name == kind
        state = unpacked(one.state)
        wrong = host_rules.mistyped(self.block(kind), state, known=True)
        assert not wrong, wrong
        return self.read(Applied(kind, state, one.private, [], []))

    def data(self, kind: str, given: Raw) -> tuple[Any, list[Said]]:
        """What a data source answers."""
        config = self.filled(f"data.{kind}", given)
        answer = self.ask("ReadDataSource", type_name=kind, config=config)
        state, errors = unpacked(answer.state), said(answer)
        if not errors:
            block = self.block(f"data.{kind}")
            wrong = host_rules.mistyped(block, state, known=True) + host_rules.plan_errors(block, None, config, state)
            assert not wrong, wrong
        return state, errors


@contextlib.contextmanager
def served(service: server.Service) -> Iterator[Engine]:
    """A host of a server in this process, over a real socket."""
    folder = Path(tempfile.mkdtemp(prefix="jvpt-"))  # short: a socket's path has at most 107 characters
    listening = server.start(service, f"unix:{folder}/s", None)
    client = Client(folder / "s")
    try:
        yield Engine(client)
    finally:
        client.close()
        service.stop()
        listening.stop(0).wait()
        shutil.rmtree(folder)


def _filled(block: Block, given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    assert not set(given) - set(block), set(given) - set(block)
    return {name: _filled_in(one, given.get(name)) for name, one in block.items()}


def _filled_in(one: host_rules.Attribute, value: Any) -> Any:
    if one.nested is None:
        return value
    if isinstance(value, list):
        return [_filled(one.nested, item) for item in value]
    if one.is_map and isinstance(value, dict):
        return {key: _filled(one.nested, item) for key, item in value.items()}
    return _filled(one.nested, value)
