"""Makes a fresh Debian machine ready: ``python3 -m tools.setup [step ...]``.

It runs before there is a virtual environment, so the standard library is all that it uses. Every step
looks first and does only what is missing: a second run takes a second or two, and no step stops or
restarts what was there before.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    # Here, because an older Python could not even read the modules that check everything else.
    sys.exit("setup: python3 is older than 3.11; Debian 12 or newer brings one that is new enough")
