"""Verbs of the core, each in a process of its own: forked from one that has everything imported and nothing open.

`main` is that process: it reads pickled `Order`s from its stdin and answers each with a `Reply`.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0
STUCK_S = 180.0
"""After this time a verb does not end any more, though its deadline was much earlier."""


@dataclass(frozen=True)
class Order:
    """One verb to run. `arguments` are those of the method of `Calls`, without the Work."""

    uri: str
    verb: str
    arguments: tuple[Any, ...]
    cut: str = "never:0"


@dataclass(frozen=True)
class Reply:
    """What became of it."""

    killed: bool
    calls: list[str]
    """The writing calls, in their order."""
    result: Any = None
    error: str | None = None
    kind: str = ""
    """The class of the error."""
    notes: list[str] = field(default_factory=list)

    def value(self) -> Any:
        """The result of a verb that worked."""
        assert not self.killed, self.calls
        assert self.error is None, f"{self.kind}: {self.error}"
        return self.result


class Forks:
    """The process with everything imported. `order` runs one verb and waits; `start` does not wait.

    An impatient one soon takes what a dead process began for abandoned: the tests, where nobody else is at work, need
    not wait for it. One in a `hurry` asks the daemon often whether it is there, and so soon misses it.
    """

    def __init__(self, uri: str, *, impatient: bool = False, hurry: bool = False) -> None:
        self.uri, self._impatient, self._hurry = uri, impatient, hurry
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(ROOT / "provider"), str(ROOT / "tests")])
        return subprocess.Popen(
            # Not -m: what is pickled would then be of the module __main__.
            [sys.executable, "-c", f"from faults.forks import main; main({self._impatient}, {self._hurry})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )

    def start(self, verb: str, *arguments: Any, cut: str = "never:0") -> None:
        assert self.process.stdin is not None
        pickle.dump(Order(self.uri, verb, arguments, cut), self.process.stdin)
        self.process.stdin.flush()

    def wait(self) -> Reply:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], STUCK_S)[0]:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.close()
            self.process = self._begin()
            raise TimeoutError(f"a verb did not end within {STUCK_S:.0f} s")
        reply: Reply = pickle.load(self.process.stdout)
        return reply

    def order(self, verb: str, *arguments: Any, cut: str = "never:0") -> Reply:
        self.start(verb, *arguments, cut=cut)
        return self.wait()

    def __call__(self, verb: str, *arguments: Any) -> Any:
        """Run one verb that is to work; its result."""
        return self.order(verb, *arguments).value()

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self.process.wait(timeout=LIMIT_S)


def main(impatient: bool, hurry: bool) -> None:
    import libvirt  # noqa: F401

    from jvp.core import going
    from jvp.libvirt.link import node
    from jvp.libvirt.storage import volume_claim, volume_record
    from jvp.resources import everything  # noqa: F401

    going.BEGINS_S = 0.4  # no delete comes to its name: each verb has a process of its own
    if impatient:
        volume_record._ABANDONED_S, volume_claim._SETTLE_S = 0.5, 0.05
    if hurry:
        node.KEEPALIVE = 1, 4
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        while True:
            try:
                order: Order = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            pickle.dump(_run(order), answers)
            answers.flush()


def _run(order: Order) -> Reply:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reader)
            with os.fdopen(writer, "wb") as out:
                _child(order, out)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    calls: list[str] = []
    notes: list[str] = []
    last: Any = None
    with os.fdopen(reader, "rb") as found:
        while True:
            try:
                item = pickle.load(found)
            except (EOFError, pickle.UnpicklingError):
                break
            if isinstance(item, str):
                (notes if item.startswith("note ") else calls).append(item.removeprefix("note "))
            else:
                last = item
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return Reply(True, calls, notes=notes)
    result, error, kind = last or (None, f"the child ended with {status}", "Crash")
    return Reply(False, calls, result, error, kind, notes)


def _child(order: Order, out: IO[bytes]) -> None:
    import libvirt

    from faults.cut import Cut, arm
    from jvp.core.errors import JvpError
    from jvp.core.work import Work
    from jvp.resources.provider import Provider
    from jvp.resources.registry import calls

    def tell(item: Any) -> None:
        out.write(pickle.dumps(item))
        out.flush()

    arm(libvirt, Cut(order.cut, tell))
    work = Work(time.monotonic() + LIMIT_S, warn=lambda line: tell(f"note {line}"))
    made = calls(Provider(uri=order.uri, virt_type="qemu"))
    result: Any
    try:
        if order.verb == "diff":
            result = made.diff(*order.arguments)
        elif order.verb == "check":
            checked = made.check(*order.arguments)
            assert not checked.failures, checked.failures
            result = checked.inputs
        else:
            result = getattr(made, order.verb)(*order.arguments, work)
        tell((result, None, ""))
    except JvpError as error:
        tell((None, str(error), type(error).__name__))
