"""Step ``guest``: the micro guest that demo and tests boot."""

import json
import sys

from tools.setup.project import run


def guest() -> str:
    """Build it, or find that it was built from the same sources."""
    told = json.loads(run([sys.executable, "-m", "tests.lab.micro"], why="could not build the micro guest"))
    return f"{'built' if told['built'] else 'there is'} the micro guest, Linux {told['kernel_version']}"
