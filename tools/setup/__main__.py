"""The command: all steps in order, or those that are named."""

import argparse
import sys
import time

from tools.setup.check import check
from tools.setup.daemons import daemons
from tools.setup.engines import engines
from tools.setup.guest import guest
from tools.setup.packages import packages
from tools.setup.project import SetupError, Step, alone
from tools.setup.venv import venv

STEPS = (
    Step("check", check),
    Step("packages", packages),
    Step("venv", venv),
    Step("engines", engines),
    Step("daemons", daemons),
    Step("guest", guest),
)


def main() -> int:
    """Run the steps; one line each."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.setup", description="Make this machine ready for JVP.")
    parser.add_argument("steps", nargs="*", metavar="step", help=f"of {', '.join(s.name for s in STEPS)}; all if none")
    wanted = parser.parse_args().steps
    unknown = sorted(set(wanted) - {step.name for step in STEPS})
    if unknown:
        parser.error(f"no such step: {', '.join(unknown)}")
    try:
        # Outside the lock: what the machine lacks is said at once, before anything is written.
        if not wanted or "check" in wanted:
            _show(STEPS[0])
        with alone(lambda: print("    another setup of this checkout is running; waiting for it", flush=True)):
            for step in STEPS[1:]:
                if not wanted or step.name in wanted:
                    _show(step)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def _show(step: Step) -> None:
    start = time.monotonic()
    said = step.run()
    print(f"ok  {step.name:<9} {said:<60} {time.monotonic() - start:6.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
