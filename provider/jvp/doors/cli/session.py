"""What a command works with: the settings, the objects of the node, and a Work that Ctrl-C cancels."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jvp.audit.lines import write
from jvp.audit.who import who
from jvp.core.audit import Audit, Caller
from jvp.core.check import check
from jvp.core.errors import Invalid
from jvp.core.model import fields
from jvp.core.text import harmless
from jvp.core.types import duration_s
from jvp.core.values import Bag
from jvp.core.work import Progress, Work
from jvp.doors.cli.known import kebab
from jvp.resources import registry

VARIABLE = "JVP_"
"""How the variables begin that stand for settings: JVP_URI, JVP_OWNER, JVP_VIRT_TYPE; JVP_OUTPUT and JVP_TIME_LIMIT."""


def variable(name: str) -> str:
    """The variable of a setting."""
    return VARIABLE + kebab(name).replace("-", "_").upper()


def add_to(parser: argparse.ArgumentParser) -> None:
    """The options of every command that asks the node."""
    parser.add_argument("--uri", metavar="URI", help="the libvirt connection; by default $JVP_URI, and else the usual")
    about = "how long the command may take, like 90s or 10m; by default $JVP_TIME_LIMIT"
    parser.add_argument("--time-limit", metavar="TIME", help=about)


def settings(parsed: argparse.Namespace) -> Any:
    """The provider's settings: options, else variables. Raises Invalid."""
    from jvp.resources.provider import Provider

    plain = [name for name, facts in fields(Provider).items() if facts.item is None and facts.annotation is not bool]
    bag: Bag = {name: text for name in plain if (text := os.environ.get(variable(name)))}
    if parsed.uri is not None:
        bag["uri"] = parsed.uri
    return check(Provider, bag).sound().spec


class Session:
    """One command's: see above."""

    def __init__(self, parsed: argparse.Namespace) -> None:
        self._parsed = parsed
        self.settings = settings(parsed)
        self._lines = Lines()
        self._objects: Any = None

    def objects(self) -> Any:
        """The objects of the node, the same ones each time. Connects when they are asked for something."""
        if self._objects is None:
            self._objects = registry.objects(self.settings)
            self._objects.audit = Audit(write)
        return self._objects

    @contextmanager
    def work(self, verb: str = "update", *, quiet: bool = False) -> Iterator[Work]:
        """For one call. Ctrl-C cancels it, and a second one ends the process. A `quiet` one warns of nothing."""
        cancelled = threading.Event()

        def cancel(number: int, _frame: Any) -> None:
            if cancelled.is_set():
                raise KeyboardInterrupt
            cancelled.set()

        before = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            warn = (lambda _line: None) if quiet else self._lines.warn
            lines, end = self._lines, time.monotonic() + self._limit_s(verb)
            yield Work(end, cancelled, lines.status, warn, lines.progress, caller=Caller(who(), "cli"))
        finally:
            self._lines.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _limit_s(self, verb: str) -> float:
        text = self._parsed.time_limit or os.environ.get(variable("timeLimit"))
        if text is None:
            return float(duration_s(getattr(self.settings.timeouts, verb)))
        try:
            return float(duration_s(text))
        except ValueError as error:
            raise Invalid(str(error), path=("timeLimit",)) from None


class Lines:
    """Progress and warnings on standard error: progress on a terminal alone, where the next line takes its place."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._open = False
        self._bar: Any = None
        self._lock = threading.Lock()

    def status(self, line: str) -> None:
        if self._shows:
            width = shutil.get_terminal_size().columns - 1
            with self._lock:
                self._clear()
                sys.stderr.write(harmless(line)[:width])
                sys.stderr.flush()
                self._open = True

    def progress(self, found: Progress) -> None:
        """Show how far a transfer is."""
        if self._shows:
            from jvp.doors.cli import terminal

            with self._lock:
                if self._bar is None:
                    self._clear()
                    self._bar = terminal.Bar(sys.stderr)
                self._bar.show(found)

    def warn(self, line: str) -> None:
        self.close()
        print(f"warning: {line}", file=sys.stderr)

    def close(self) -> None:
        """Take the last line of progress away."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._open:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._open = False
