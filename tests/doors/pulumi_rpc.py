"""The other side of the Pulumi protocol: a client, an engine that listens, and what errors hold."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from jvp.doors.pulumi import protocol
from jvp.doors.pulumi.protocol import message
from jvp.doors.pulumi.server import OPTIONS
from jvp.doors.pulumi.wire import decode, encode

ROOT = Path(__file__).resolve().parents[2]
TYPE = "jvp:index:Gadget"
URN = f"urn:pulumi:dev::shop::{TYPE}::thing"


class Client:
    """Calls a provider's methods: bags for Structs, the reply as it is."""

    def __init__(self, port: int) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[*OPTIONS, ("grpc.max_metadata_size", 2**24)])
        self.methods = {method.name: method for method in protocol.methods(protocol.PROVIDER)}

    def __call__(self, method: str, *, wait_s: float = 60, **values: Any) -> Any:
        return self._stub(method)(self.request(method, **values), timeout=wait_s)

    def start(self, method: str, **values: Any) -> Any:
        return self._stub(method).future(self.request(method, **values), timeout=30)

    def stream(self, method: str, **values: Any) -> list[Any]:
        kind = self.methods[method]
        stub = self.channel.unary_stream(
            f"/{protocol.PROVIDER}/{method}",
            request_serializer=message(kind.input_type.full_name).SerializeToString,
            response_deserializer=message(kind.output_type.full_name).FromString,
        )
        return list(stub(self.request(method, **values), timeout=10))

    def request(self, method: str, **values: Any) -> Any:
        kind = message(self.methods[method].input_type.full_name)
        known = kind.DESCRIPTOR.fields_by_name
        if "urn" in known and method not in ("CheckConfig", "DiffConfig", "Configure"):
            values = {"urn": URN, "type": TYPE, **values}
        structs = {
            name: encode(value)
            for name, value in values.items()
            if known[name].message_type is not None and known[name].message_type.full_name == "google.protobuf.Struct"
        }
        return kind(**{**values, **structs})

    def _stub(self, method: str) -> Any:
        kind = self.methods[method]
        return self.channel.unary_unary(
            f"/{protocol.PROVIDER}/{method}",
            request_serializer=message(kind.input_type.full_name).SerializeToString,
            response_deserializer=message(kind.output_type.full_name).FromString,
        )

    def close(self) -> None:
        self.channel.close()

    # What engines do with the answers

    def check(self, news: dict[str, Any], olds: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        reply = self("Check", news=news, olds=olds or {}, **more)
        assert not reply.failures, [(failure.property, failure.reason) for failure in reply.failures]
        return decode(reply.inputs)

    def failures(self, news: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
        return [(one.property, one.reason) for one in self("Check", news=news, **more).failures]

    def create(self, news: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """The id, the inputs and the outputs."""
        inputs = self.check(news)
        reply = self("Create", properties=inputs, **more)
        return reply.id, inputs, decode(reply.properties)


def refusal(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    """The status of a call that fails."""
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code(), error.value.details()


def unfinished(error: grpc.RpcError) -> Any:
    """The ErrorResourceInitFailed of a status; checks that it agrees with the status, as Go demands."""
    packed = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = protocol.RpcStatus.FromString(packed)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    (detail,) = status.details
    assert detail.type_url == "type.googleapis.com/pulumirpc.ErrorResourceInitFailed"
    return message("ErrorResourceInitFailed").FromString(detail.value)


class Engine:
    """An engine's Log service."""

    def __init__(self, delay_s: float = 0) -> None:
        self.lines: list[Any] = []
        self.delay_s = delay_s
        self.server = grpc.server(ThreadPoolExecutor(4))
        handler = grpc.unary_unary_rpc_method_handler(
            self._log, message("LogRequest").FromString, protocol.Empty.SerializeToString
        )
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(protocol.ENGINE, {"Log": handler}),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def _log(self, request: Any, _context: grpc.ServicerContext) -> Any:
        time.sleep(self.delay_s)
        self.lines.append(request)
        return protocol.Empty()


def tell_a_thread(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to another thread of a process than its main one. Source: tgkill(2)."""
    _, other, *_ = sorted(int(one.name) for one in Path(f"/proc/{process.pid}/task").iterdir())
    assert ctypes.CDLL(None).tgkill(process.pid, other, number) == 0


def within(seconds: float, done: Callable[[], Any]) -> Any:
    """Wait until `done` is true."""
    end = time.monotonic() + seconds
    while not (result := done()):
        assert time.monotonic() < end, "waited too long"
        threading.Event().wait(0.02)
    return result
