"""Lines to the engine's display: one that the next replaces, and warnings that stay.

A verb is never held up: a line is handed to a channel that is made on first use, and nobody waits for the answer.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time

import grpc

from jvp.doors.pulumi.protocol import ENGINE, INFO, WARNING, Empty, Message, message

EVERY_S = 0.2
"""The display is redrawn no more often; a progress that calls for each block must not flood it."""
LAST_WORDS_S = 1.0
"""How long the end of a call waits for its warnings to arrive: an engine that has its answer may end at once."""
_LogRequest = message("LogRequest")
_streams = itertools.count(1)


class Reporter:
    """The way to one engine's Engine.Log; to none when the address is empty. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._address = ""
        self._channel: grpc.Channel | None = None
        self._log: grpc.UnaryUnaryMultiCallable[Message, Message] | None = None

    def send(self, address: str, request: Message) -> grpc.Future[Message] | None:
        """Hand `request` over; None when there is nobody to take it."""
        if not address:
            return None
        with self._lock:
            if address != self._address:
                self._connect(address)
            log = self._log
        with contextlib.suppress(grpc.RpcError, ValueError):  # a channel closed meanwhile
            return log.future(request, timeout=5) if log else None
        return None

    def close(self) -> None:
        """Let go of the engine."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
            self._channel, self._log, self._address = None, None, ""

    def _connect(self, address: str) -> None:
        if self._channel is not None:
            self._channel.close()
        self._address = address
        self._channel = grpc.insecure_channel(address)
        self._log = self._channel.unary_unary(
            f"/{ENGINE}/Log", request_serializer=_LogRequest.SerializeToString, response_deserializer=Empty.FromString
        )


class Lines:
    """What one call says about one resource. Close it when the call ends."""

    def __init__(self, reporter: Reporter, address: str, urn: str) -> None:
        self._reporter, self._address, self._urn = reporter, address, urn
        self._stream = next(_streams) % 2**31
        self._lock = threading.Lock()
        self._next = 0.0
        self._waiting: str | None = None
        self._timer: threading.Timer | None = None
        self._sent: grpc.Future[Message] | None = None
        self._closed = False
        self._warnings: list[grpc.Future[Message]] = []

    def status(self, line: str) -> None:
        """Show `line` until the next one: now, or when the display is ready for another."""
        with self._lock:
            self._waiting = line
            if self._timer is None and not self._closed:
                self._flush()

    def warn(self, line: str) -> None:
        """Show `line` for good."""
        request = _LogRequest(severity=WARNING, message=line, urn=self._urn)
        sent = self._reporter.send(self._address, request)
        if sent is not None:
            self._warnings.append(sent)

    def close(self) -> None:
        """Send the line that waits, for the display keeps the last one. Give it and the warnings a moment to arrive."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            before, line, self._waiting = self._sent, self._waiting, None
        end = time.monotonic() + LAST_WORDS_S
        if line is not None:
            _arrived(before, end)  # it must not come after
            self._sent = self._send(line)
            _arrived(self._sent, end)
        for sent in self._warnings:
            _arrived(sent, end)

    def _late(self) -> None:
        with self._lock:
            self._timer = None
            if self._waiting is not None and not self._closed:
                self._flush()

    def _flush(self) -> None:
        """Send what waits, or wait on: for the display, and for the line before, which must not come later."""
        wait = self._next - time.monotonic()
        if wait <= 0 and (self._sent is None or self._sent.done()):
            line, self._waiting = self._waiting, None
            self._next = time.monotonic() + EVERY_S
            self._sent = self._send(line or "")
        else:
            self._timer = threading.Timer(max(wait, EVERY_S / 4), self._late)
            self._timer.daemon = True
            self._timer.start()

    def _send(self, line: str) -> grpc.Future[Message] | None:
        request = _LogRequest(severity=INFO, message=line, urn=self._urn, streamId=self._stream, ephemeral=True)
        return self._reporter.send(self._address, request)


def _arrived(sent: grpc.Future[Message] | None, end: float) -> None:
    """Wait until the engine has taken it, to the end at most."""
    if sent is not None:
        with contextlib.suppress(grpc.RpcError, grpc.FutureTimeoutError, grpc.FutureCancelledError):
            sent.result(timeout=max(0.0, end - time.monotonic()))
