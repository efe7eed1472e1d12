"""What the settings of one run lead to: the core's calls, who owns what is made, and how long a verb may take."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jvp.audit.who import who
from jvp.core.audit import Caller
from jvp.core.calls import Calls
from jvp.core.handler import AnyHandler
from jvp.core.identity import Key
from jvp.core.model import fields
from jvp.core.types import duration_s
from jvp.core.values import UNKNOWN, Bag, known
from jvp.core.work import Work
from jvp.doors.terraform import diagnostics, schema, writeonly
from jvp.doors.terraform.declared import Declared
from jvp.doors.terraform.owner import declarer
from jvp.doors.terraform.protocol import Message
from jvp.doors.terraform.values import Raw
from jvp.resources.provider import Provider, Timeouts

LATER = "the provider's uri is known only after the apply"
FIRST = "apply what the uri comes from first, with -target, or write the uri out"
"""What to do where an answer cannot wait for the apply."""
PREVIEW_S = 15.0
"""How long a plan may ask the host for its warnings."""


@dataclass(frozen=True)
class Configured:
    """A provider with its settings. Safe to use from many threads."""

    calls: Calls
    provider: Provider
    workspace: str
    declared: Declared
    """What this run makes: two resources of one name would be one object."""
    stopped: threading.Event
    """Set when the host wants running verbs to end."""

    @property
    def offline(self) -> bool:
        """Whether the uri is known only after the apply."""
        return not known(self.provider.uri)

    def key(self, handler: AnyHandler, bag: Bag) -> Key:
        """Who the object belongs to: the owner, and its place on the node, for there is no address here."""
        place = handler.place(bag)
        name = str(bag.get("name") or place)
        declared_by = declarer(self.workspace, schema.type_name(handler.token), name)
        return Key(self.provider.owner or "", handler.token, f"{self.calls.host()}/{place}", name, declared_by)

    def adopts(self, config: Raw | None) -> Any:
        """Whether an object that is there is taken over: the resource's own word, else the provider's."""
        adopt = (config or {}).get("adopt")
        return self.provider.adopt if adopt is None else adopt

    @contextmanager
    def work(
        self, handler: AnyHandler | None, raw: Raw | None, verb: str, *, preview: bool = False
    ) -> Iterator[tuple[Work, list[Message]]]:
        """A verb's surroundings: its deadline (the resource's own `timeouts` win), its end, and its warnings."""
        limit = _limit_s(timeouts(raw or {}), self.provider.timeouts, verb)
        if preview:
            limit = min(limit, PREVIEW_S)
        warnings: list[Message] = []
        model, name = handler.spec if handler else None, (raw or {}).get("name")

        def warn(line: str) -> None:
            found = diagnostics.warning(diagnostics.title(name, line, plan=preview), line, model)
            if model is not None:
                found.detail = writeonly.named(model, raw or {}, found.detail)
            warnings.append(found)

        caller = Caller(who(), "terraform", program=self.workspace)
        yield Work(time.monotonic() + limit, self.stopped, warn=warn, caller=caller), warnings


def timeouts(raw: Raw) -> Bag:
    """The limits that a resource has of its own."""
    given = raw.get("timeouts")
    return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else {}


def _limit_s(own: Bag, provider: Timeouts, verb: str) -> float:
    """How long a verb may take. In a plan neither the resource's limits nor the provider's need be known."""
    theirs = getattr(provider, verb) if known(provider) else UNKNOWN
    told = (own.get(verb), theirs, fields(Timeouts)[verb].default)
    return float(duration_s(next(text for text in told if isinstance(text, str))))
