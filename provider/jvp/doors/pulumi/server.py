"""The gRPC server: which method is answered by whom, and what becomes of their errors.

What an engine asks of every plugin is answered here, without the core and the models: the first other call loads them.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc

import jvp
from jvp.core.errors import Bug, Invalid, JvpError, incomplete
from jvp.doors.pulumi import journal, protocol
from jvp.doors.pulumi.peers import REFUSAL, Peers
from jvp.doors.pulumi.protocol import Empty, Message, message
from jvp.doors.pulumi.session import Session

if TYPE_CHECKING:
    from jvp.doors.pulumi.provider import ProviderServicer

WORKERS = 64
MESSAGE_BYTES = 400 * 2**20
OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
]

MakeServicer = Callable[[Session], "ProviderServicer"]


class _Absent(Exception):
    """A part of the protocol that this provider has no use for."""


class Service:
    """Every method of the protocol for one process."""

    def __init__(self, make: MakeServicer, schema: Callable[[], str] | None = None) -> None:
        """`schema` is the servicer's own, where it is known without the models."""
        self.session = Session()
        self.peers = Peers()
        self._make = make
        self._schema = schema
        self._lock = threading.Lock()
        self._servicer: ProviderServicer | None = None

    def load(self) -> ProviderServicer:
        """The servicer, made once."""
        with self._lock:
            if self._servicer is None:
                self._servicer = self._make(self.session)
            return self._servicer

    def method(self, name: str) -> Callable[[Message, grpc.ServicerContext], Any]:
        """What answers a method of the protocol."""
        here = getattr(self, name, None)
        if here is not None:
            return here  # type: ignore[no-any-return]
        return lambda request, context: getattr(self.load(), name)(request, context)

    def GetSchema(self, request: Message, context: grpc.ServicerContext) -> Message:
        if request.version not in (0, 1):
            raise Invalid(f"there is no schema of version {request.version}; this provider has version 1")
        return message("GetSchemaResponse")(schema=self._schema() if self._schema else self.load().schema())

    def Handshake(self, request: Message, context: grpc.ServicerContext) -> Message:
        """References to resources are not accepted, so that the engine sends their ids."""
        self.session.begin(request.engine_address, refreshes=request.supports_refresh_before_update)
        return message("ProviderHandshakeResponse")(
            accept_secrets=True, accept_outputs=True, supports_autonaming_configuration=True
        )

    def Attach(self, request: Message, context: grpc.ServicerContext) -> Message:
        self.session.begin(request.address)
        return Empty()

    def GetPluginInfo(self, request: Message, context: grpc.ServicerContext) -> Message:
        return message("PluginInfo")(version=jvp.__version__)

    def Cancel(self, request: Message, context: grpc.ServicerContext) -> Message:
        self.session.cancel()
        return Empty()

    def GetMapping(self, request: Message, context: grpc.ServicerContext) -> Message:
        """There is no Terraform provider whose programs could be converted to this one."""
        return message("GetMappingResponse")()

    def GetMappings(self, request: Message, context: grpc.ServicerContext) -> Message:
        return message("GetMappingsResponse")()

    def Parameterize(self, request: Message, context: grpc.ServicerContext) -> Message:
        raise Invalid("this provider takes no parameters; add it as plain jvp")

    def Construct(self, request: Message, context: grpc.ServicerContext) -> Message:
        raise _Absent("this provider has no component resources")

    def Call(self, request: Message, context: grpc.ServicerContext) -> Message:
        raise _Absent("the resources of this provider have no methods")


def serve(service: Service, address: str = "127.0.0.1:0") -> tuple[grpc.Server, int]:
    """Start a server; returns it with its port."""
    server = grpc.server(ThreadPoolExecutor(WORKERS, thread_name_prefix="rpc"), options=OPTIONS)
    handlers = {method.name: _handler(service, method) for method in protocol.methods(protocol.PROVIDER)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(protocol.PROVIDER, handlers),))
    port = server.add_insecure_port(address)
    server.start()
    return server, port


def _handler(service: Service, method: Any) -> grpc.RpcMethodHandler[Message, Message]:
    answer = service.method(method.name)
    request = message(method.input_type.full_name)
    response = message(method.output_type.full_name)
    if method.server_streaming:
        streamed = functools.partial(_stream, service, method.name, answer)
        return grpc.unary_stream_rpc_method_handler(streamed, request.FromString, response.SerializeToString)
    single = functools.partial(_unary, service, method.name, answer)
    return grpc.unary_unary_rpc_method_handler(single, request.FromString, response.SerializeToString)


def _unary(
    service: Service, name: str, answer: Callable[..., Message], request: Message, context: grpc.ServicerContext
) -> Message:
    start = time.monotonic()
    _refuse_stranger(service, name, context)
    try:
        reply = answer(request, context)
    except Exception as error:
        _refuse(service, name, request, context, error)
    _note(name, request, "ok", start)
    return reply


def _stream(
    service: Service,
    name: str,
    answer: Callable[..., Iterator[Message]],
    request: Message,
    context: grpc.ServicerContext,
) -> Iterator[Message]:
    start = time.monotonic()
    _refuse_stranger(service, name, context)
    try:
        yield from answer(request, context)
    except Exception as error:
        _refuse(service, name, request, context, error)
    _note(name, request, "ok", start)


def _refuse_stranger(service: Service, name: str, context: grpc.ServicerContext) -> None:
    """End the call of another user's process. Raises, as `abort` does."""
    # A call whose connection has ended meanwhile may not have come over the one that was looked at.
    if not (service.peers.admits(context.peer()) and context.is_active()):
        journal.note(f"{name} refused to {context.peer()}")
        context.abort(grpc.StatusCode.PERMISSION_DENIED, REFUSAL)


def _refuse(service: Service, name: str, request: Message, context: grpc.ServicerContext, error: Exception) -> None:
    """End the call with the status of `error`. Raises, as `abort` does."""
    from jvp.doors.pulumi import status  # late: it needs the values, which need pydantic

    _note(name, request, f"{type(error).__name__} at {journal.places(error)}")
    if isinstance(error, _Absent):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error))
    if isinstance(error, status.Unfinished):
        status.abort_unfinished(context, error, refreshes=service.session.refreshes)
    if isinstance(error, ImportError):
        error = incomplete(error)
    if not isinstance(error, JvpError):
        # The text may quote a value that is a secret; the log has the places.
        place = journal.places(error).partition(" <")[0]
        error = Bug(f"this is a defect of jvp, please report it: {type(error).__name__} at {place}")
    status.abort(context, error)


def _note(name: str, request: Message, outcome: str, start: float | None = None) -> None:
    about = getattr(request, "urn", "") or getattr(request, "tok", "")
    spent = f" {(time.monotonic() - start) * 1000:.1f} ms" if start is not None else ""
    journal.note(f"{name} {about} {outcome}{spent}".replace("  ", " "))
