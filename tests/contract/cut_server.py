"""`jvp serve` as a script, which dies by SIGKILL at the writing call of libvirt that JVP_CUT names (`faults.cut`).

It takes another server for dead sooner than a real one does, which has more patience than a test.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from jvp.doors.cli.main import main
from jvp.doors.rest import durable
from jvp.index import ledger

ledger.SILENT_S, durable.LOOK_S, durable.TICK_S = 2.0, 0.5, 0.2

if __name__ == "__main__":
    if cut := os.environ.get("JVP_CUT"):
        import libvirt

        sys.path.insert(0, str(Path(__file__).parents[1]))
        from faults.cut import Cut, arm

        arm(libvirt, Cut(cut, lambda _name: None))
    sys.exit(main())
