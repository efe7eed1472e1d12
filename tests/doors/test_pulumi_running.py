"""While a call runs: cancellation, deadlines, lines to the display, many calls at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from gadget import Host
from pulumi_rpc import URN, Client, Engine, refusal, unfinished, within

from jvp.core.values import Secret
from jvp.doors.pulumi import reporter
from jvp.doors.pulumi.server import WORKERS, Service
from jvp.doors.pulumi.wire import decode


def outcome(call: Any) -> tuple[grpc.StatusCode, str]:
    return refusal(call.result)


def test_cancel_stops_what_runs_and_what_comes_until_the_next_engine(provider: Client, host: Host) -> None:
    running = provider.start("Create", properties=provider.check({"act": "wait"}))
    within(15, lambda: host.calls)
    start = time.monotonic()
    provider("Cancel")
    assert outcome(running)[0] is grpc.StatusCode.CANCELLED
    assert time.monotonic() - start < 5
    assert host.gadgets == {}
    assert refusal(lambda: provider("Create", properties={}))[0] is grpc.StatusCode.CANCELLED
    # An attached provider lives on: engines say Cancel when they are done, too.
    provider("Handshake", engine_address="")
    assert provider("Create", properties={}).id


def test_cancel_keeps_what_exists(provider: Client, host: Host) -> None:
    running = provider.start("Create", properties=provider.check({"act": "hang"}))
    within(15, lambda: host.gadgets)
    provider("Cancel")
    with pytest.raises(grpc.RpcError) as raised:
        running.result()
    kept = unfinished(raised.value)
    assert kept.id in host.gadgets
    assert list(kept.reasons) == ["stopped on request; run the command again and it goes on from here"]


def test_a_caller_that_goes_away_cancels_its_call(provider: Client, host: Host, service: Service) -> None:
    running = provider.start("Create", properties=provider.check({"act": "wait"}))
    within(15, lambda: host.calls)
    running.cancel()
    within(15, lambda: service.session.idle)
    assert host.gadgets == {}


def test_custom_timeouts_end_a_wait(provider: Client) -> None:
    start = time.monotonic()
    with pytest.raises(grpc.RpcError) as raised:
        provider("Create", properties={"act": "hang"}, timeout=0.3)
    assert list(unfinished(raised.value).reasons) == ["the gadget does not answer"]
    assert time.monotonic() - start < 5


def test_the_providers_own_timeouts_are_the_default(provider: Client, service: Service) -> None:
    provider("Configure", args={"timeouts": '{"create":"7m","delete":"3s"}'})
    servicer = service.load()

    class Context:
        def add_callback(self, _callback: Any) -> None:
            return None

    def left(verb: str, timeout_s: float = 0, *, preview: bool = False) -> int:
        with servicer._work(Context(), "", timeout_s, verb, preview=preview) as work:  # type: ignore[arg-type]
            return round(work.left())

    assert (left("create"), left("update"), left("delete")) == pytest.approx((420, 600, 3), abs=2)
    assert left("create", 12) == pytest.approx(12, abs=2)
    assert left("create", preview=True) == pytest.approx(15, abs=2)


def test_status_lines_are_ephemeral_rate_limited_and_end_with_the_call(provider: Client, engine: Engine) -> None:
    inputs, start = provider.check({"act": "wait"}), time.monotonic()
    running = provider.start("Create", properties=inputs)
    within(15, lambda: len(engine.lines) >= 3)
    provider("Cancel")
    assert outcome(running)[0] is grpc.StatusCode.CANCELLED
    took = time.monotonic() - start
    # The last line may still be on its way.
    time.sleep(2 * reporter.EVERY_S)
    said = len(engine.lines)
    assert all(line.ephemeral and line.urn == URN and line.streamId for line in engine.lines)
    assert engine.lines[0].message == "step 0"
    steps = [int(line.message.split()[1]) for line in engine.lines]
    assert steps == sorted(steps)
    assert len(steps) - 1 <= took / reporter.EVERY_S + 1
    time.sleep(2 * reporter.EVERY_S)
    assert len(engine.lines) == said


def test_the_last_line_of_a_burst_is_shown(engine: Engine) -> None:
    way = reporter.Reporter()
    lines = reporter.Lines(way, f"127.0.0.1:{engine.port}", URN)
    for number in range(50):
        lines.status(f"line {number}")
    within(15, lambda: engine.lines and engine.lines[-1].message == "line 49")
    assert engine.lines[0].message == "line 0"
    # Two, unless the machine takes longer over the burst than the display over a line.
    assert len(engine.lines) < 25
    lines.close()
    way.close()


def test_the_last_line_is_the_one_that_stays(engine: Engine) -> None:
    way = reporter.Reporter()
    lines = reporter.Lines(way, f"127.0.0.1:{engine.port}", URN)
    lines.status("94%")
    lines.status("100%")
    lines.close()
    assert [line.message for line in engine.lines] == ["94%", "100%"]
    way.close()


def test_warnings_stay_arrive_before_the_answer_and_hide_secrets(
    provider: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "LAST_WORDS_S", 30.0)
    engine.delay_s = 0.2
    inputs = provider.check({"act": "grumble", "password": Secret("hunter22")})
    provider("Create", properties=inputs, preview=True)
    (line,) = engine.lines
    assert (line.severity, line.ephemeral, line.urn) == (2, False, URN)
    assert line.message == "gadgets like [secret] do not like this"


@pytest.mark.parametrize("address", ["", "127.0.0.1:1", "nonsense"])
def test_an_engine_that_does_not_listen_holds_nobody_up(address: str) -> None:
    way = reporter.Reporter()
    start = time.monotonic()
    lines = reporter.Lines(way, address, URN)
    for number in range(1000):
        lines.status(str(number))
    assert time.monotonic() - start < 30  # not 1000 waits
    lines.warn("oh")
    lines.close()
    assert time.monotonic() - start < 60
    way.close()


def test_many_calls_run_at_once(provider: Client, host: Host) -> None:
    inputs = provider.check({"act": "hang"})

    def one(number: int) -> str:
        with pytest.raises(grpc.RpcError) as raised:
            provider("Create", urn=f"{URN}{number}", properties=inputs, timeout=0.4)
        return str(unfinished(raised.value).id)

    start = time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        list(pool.map(one, range(40)))
    assert time.monotonic() - start < 12
    assert len(host.gadgets) == 40


def test_threads_do_not_pile_up(provider: Client, host: Host) -> None:
    before = set(threading.enumerate())
    for _ in range(2 * WORKERS):
        provider("Create", properties={})
        host.gadgets.clear()
    new = set(threading.enumerate()) - before
    assert len(new) <= WORKERS, [thread.name for thread in new]
    assert decode(provider("Create", properties={}).properties)
