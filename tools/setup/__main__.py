"""The command: all steps in order, or those that are named."""

import argparse
import sys
import time
from collections.abc import Sequence

from tools.setup import pulumi, tofu
from tools.setup.check import check
from tools.setup.daemons import daemons
from tools.setup.guest import guest
from tools.setup.packages import packages
from tools.setup.project import SetupError, Step, alone
from tools.setup.venv import venv

STEPS = (
    Step("packages", packages),
    Step("venv", venv),
    Step("pulumi", pulumi.pulumi, pulumi.obstacle),
    Step("tofu", tofu.tofu, tofu.obstacle),
    Step("daemons", daemons),
    Step("guest", guest),
)
NAMES = ("check", *(step.name for step in STEPS))


def main() -> int:
    """Run the steps; one line each."""
    names = _wanted()
    steps = [step for step in STEPS if step.name in names]
    try:
        # Outside the lock: what the machine lacks is said at once, before anything is written.
        if "check" in names:
            _show(Step("check", lambda: check(steps or STEPS)))
        with alone(lambda: print("    another setup of this checkout is running; waiting for it", flush=True)):
            for step in steps:
                _show(step)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def _wanted() -> Sequence[str]:
    parser = argparse.ArgumentParser(prog="python3 -m tools.setup", description="Make this machine ready for JVP.")
    parser.add_argument("steps", nargs="*", metavar="step", help=f"of {', '.join(NAMES)}; all if none")
    parser.add_argument("--skip", action="append", default=[], metavar="step", help="a step that is not needed")
    given = parser.parse_args()
    unknown = sorted({*given.steps, *given.skip} - set(NAMES))
    if unknown:
        parser.error(f"no such step: {', '.join(unknown)}")
    return [name for name in given.steps or NAMES if name not in given.skip]


def _show(step: Step) -> None:
    start = time.monotonic()
    said = step.run()
    print(f"ok  {step.name:<9} {said:<60} {time.monotonic() - start:6.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
