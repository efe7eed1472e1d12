"""``python3 -m tests.lab.micro`` builds the guest, or finds it built, and says so as JSON."""

import json
import sys

from tests.lab.micro.build import build

try:
    guest = build()
except (RuntimeError, ValueError, OSError) as error:
    sys.exit(f"micro guest: {error}")
print(json.dumps({"built": guest.built, "kernel_version": guest.kernel_version, "directory": str(guest.directory)}))
