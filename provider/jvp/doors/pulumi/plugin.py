"""`pulumi-resource-jvp`: the program that the Pulumi engine starts.

It prints its port once it serves. Nothing heavy is imported at the top: an engine waits for the port, and asks first
what needs no models. Each call brings in what it needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jvp
from jvp.core.errors import incomplete
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
SCHEMA = Path(__file__).with_name("schema.json")
"""The schema of everything that JVP can declare, written by `python -m tools.gen_schemas`."""


def main() -> int:
    """The command. Ends with the process: a verb deep inside a library cannot be waited for."""
    if "--version" in sys.argv[1:]:
        print(jvp.__version__)
        return 0
    if {"-h", "-help", "--help"} & set(sys.argv[1:]):
        print(ABOUT)
        return 0
    run(sys.argv[1:], registered, schema)
    sys.stdout.flush()
    os._exit(0)


def run(arguments: Sequence[str], make: MakeServicer, schema: Callable[[], str] | None = None) -> None:
    """Serve until told to end. `schema` is the servicer's own, where it is known without the models."""
    lifetime = Lifetime()
    lifetime.obey_signals()
    service = Service(make, schema)
    engine = engine_address(arguments)
    service.session.begin(engine)
    server, port = serve(service)
    print(port, flush=True)
    lifetime.watch(engine)
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

    return ProviderServicer(registry.RESOURCES, registry.FUNCTIONS, registry.calls, session)


def schema() -> str:
    """The stored schema. Raises Rejected where the installation lacks it."""
    try:
        return SCHEMA.read_text(encoding="utf-8")
    except OSError as error:
        raise incomplete(f"{SCHEMA.name} cannot be read ({error.strerror})") from None


if __name__ == "__main__":
    sys.exit(main())
