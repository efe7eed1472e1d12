"""The gRPC server: which method is answered by whom, and what becomes of their errors."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc

from jvp.doors.terraform import hclog, protocol, timing
from jvp.doors.terraform.protocol import CONTROLLER, PROVIDER, STDIO, Message, message
from jvp.doors.terraform.schemas import CALLS, Schemas

if TYPE_CHECKING:
    from jvp.doors.terraform.provider import ProviderServicer

WORKERS = 64
MESSAGE_BYTES = 400 * 2**20
POLL_S = 1.0
OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
]


class Service:
    """Every method of the process: the provider's, and those by which the host ends it."""

    def __init__(
        self, make: Callable[[], ProviderServicer], schemas: Schemas | None = None, *, stays: bool = False
    ) -> None:
        """`schemas` are the servicer's own, where they are known without it."""
        self.stays = stays
        """Whether hosts come and go: somebody else started the process."""
        self.over = threading.Event()
        """Set when the host wants the process to end."""
        self._make = make
        self._schemas = schemas
        self._lock = threading.Lock()
        self._servicer: ProviderServicer | None = None

    def load(self) -> ProviderServicer:
        """The servicer with the models, made once: a host waits for the handshake, which needs none."""
        with self._lock:
            if self._servicer is None:
                self._servicer = self._make()
            return self._servicer

    def method(self, name: str) -> Callable[[Message], Message]:
        """What answers a method of the provider's protocol."""
        if name in CALLS and self._schemas is not None:
            return getattr(self._schemas, name)  # type: ignore[no-any-return]
        return self.load().method(name)

    def stop(self) -> None:
        """Let running verbs end."""
        if self._servicer is not None:
            self._servicer.stopped.set()


def start(service: Service, address: str, credentials: grpc.ServerCredentials | None) -> grpc.Server:
    """A server that listens at `address`."""
    server = grpc.server(ThreadPoolExecutor(WORKERS, thread_name_prefix="rpc"), options=OPTIONS)
    provider = {method.name: _handler(service, method) for method in protocol.methods(PROVIDER)}
    empty = message("plugin.Empty")
    controller = {
        "Shutdown": grpc.unary_unary_rpc_method_handler(
            functools.partial(_shut_down, service), empty.FromString, empty.SerializeToString
        )
    }
    stdio = {
        "StreamStdio": grpc.unary_stream_rpc_method_handler(
            functools.partial(_say_nothing, service), empty.FromString, message("plugin.StdioData").SerializeToString
        )
    }
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(name, handlers)
            for name, handlers in ((PROVIDER, provider), (CONTROLLER, controller), (STDIO, stdio))
        )
    )
    if credentials is None:
        server.add_insecure_port(address)
    else:
        server.add_secure_port(address, credentials)
    server.start()
    return server


def _shut_down(service: Service, request: Message, context: grpc.ServicerContext) -> Message:
    service.over.set()
    return message("plugin.Empty")()


def _say_nothing(service: Service, request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
    """The host wants what we print; we print nothing. It takes an end of the stream for an old plugin."""
    ended = threading.Event() if service.stays else service.over
    context.add_callback(ended.set)
    while not (service.over.is_set() or ended.wait(POLL_S)):
        pass
    return iter(())


def _handler(service: Service, method: Any) -> grpc.RpcMethodHandler[Message, Message]:
    request, response = message(method.input_type.full_name), message(method.output_type.full_name)
    answer = functools.partial(_answer, service, method.name, response)
    if timing.wanted():
        answer = functools.partial(_timed, method.name, answer)
    return grpc.unary_unary_rpc_method_handler(answer, request.FromString, response.SerializeToString)


def _answer(service: Service, name: str, response: Any, request: Message, context: grpc.ServicerContext) -> Message:
    try:
        return service.method(name)(request)
    except Exception as error:
        return _refused(service, name, response, request, error)


def _timed(
    name: str, answer: Callable[[Message, Any], Message], request: Message, context: grpc.ServicerContext
) -> Message:
    return timing.timed(name, request, lambda one: answer(one, context))


def _refused(service: Service, name: str, response: Any, request: Message, error: Exception) -> Message:
    """The answer that is nothing but an error."""
    from jvp.core.errors import Bug, JvpError, incomplete  # late: a host waits for the handshake
    from jvp.doors.terraform import diagnostics

    hclog.write("error", f"{name}: {type(error).__name__} at {hclog.places(error)}")
    if isinstance(error, ImportError):
        error = incomplete(error)
    if not isinstance(error, JvpError):
        # The text may quote a value that is a secret; the log has the places.
        place = hclog.places(error).partition(" <")[0]
        error = Bug(f"this is a defect of jvp, please report it: {type(error).__name__} at {place}")
    known = response.DESCRIPTOR.fields_by_name
    if "error" in known:  # of a function
        return response(error={"text": error.message})
    if "diagnostics" not in known:
        return response()
    model = None
    with contextlib.suppress(Exception):  # the models may be what is missing
        model = service.load().model_of(request)
    return response(diagnostics=[diagnostics.of_error(error, model)])
