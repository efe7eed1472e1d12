"""``python3 -m tests.lab.cloud`` builds the image, or finds it built."""

import sys

from tests.lab.cloud.build import build

try:
    image = build()
except (RuntimeError, OSError) as error:
    sys.exit(f"cloud image: {error}")
print(f"{'built' if image.built else 'there is'} the cloud image {image.disk}")
