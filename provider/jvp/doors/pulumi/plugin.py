"""`pulumi-resource-jvp`: the program that the Pulumi engine starts.

It prints its port once it serves, and loads the models behind that: an engine waits for the port, and asks first
what needs no models. Nothing heavy is imported at the top for the same reason.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jvp
from jvp.doors.pulumi.lifetime import Lifetime
from jvp.doors.pulumi.server import MakeServicer, Service, serve

if TYPE_CHECKING:
    from jvp.doors.pulumi.provider import ProviderServicer
    from jvp.doors.pulumi.session import Session

# Pydantic else looks through every installed distribution for plugins of its own (30 ms).
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

ABOUT = (
    "pulumi-resource-jvp is a plugin: pulumi starts it itself. "
    'Install it with "jvp pulumi install", or name its folder under "plugins" in Pulumi.yaml.'
)
WITH_VALUE = ("--tracing", "-tracing")
"""Options of engines whose value is the next argument."""


LOAD_AFTER_S = 0.4
"""Until then the models are loaded by the call that needs them, if one does: of two processes that an engine starts for
one run, one is asked for the settings only, and would load them in the other one's way."""


def main() -> int:
    """The command. Ends with the process: a verb deep inside a library cannot be waited for."""
    if "--version" in sys.argv[1:]:
        print(jvp.__version__)
        return 0
    if {"-h", "-help", "--help"} & set(sys.argv[1:]):
        print(ABOUT)
        return 0
    run(sys.argv[1:], registered)
    sys.stdout.flush()
    os._exit(0)


def run(arguments: Sequence[str], make: MakeServicer) -> None:
    """Serve until told to end."""
    lifetime = Lifetime()
    lifetime.obey_signals()
    service = Service(make)
    engine = engine_address(arguments)
    service.session.begin(engine)
    server, port = serve(service)
    print(port, flush=True)
    lifetime.watch(engine)
    threading.Thread(target=_load, args=(service,), name="load", daemon=True).start()
    grace_s = lifetime.wait()
    service.session.cancel()
    server.stop(grace_s).wait(grace_s + 1)


def engine_address(arguments: Sequence[str]) -> str:
    """The engine's address: the first argument that is no option, "" when there is none."""
    rest = iter(arguments)
    for argument in rest:
        if argument in WITH_VALUE:
            next(rest, None)
        elif not argument.startswith("-"):
            return argument
    return ""


def registered(session: Session) -> ProviderServicer:
    """The servicer over everything that JVP can declare."""
    from jvp.doors.pulumi.provider import ProviderServicer
    from jvp.resources import registry

    return ProviderServicer(registry.HANDLERS, registry.FUNCTIONS, registry.calls, session)


def _load(service: Service) -> None:
    time.sleep(LOAD_AFTER_S)
    with contextlib.suppress(Exception):  # the first call that needs the models says it
        service.load()


if __name__ == "__main__":
    sys.exit(main())
