"""The micro guest: a Linux that boots in seconds under emulation and tells on its serial console what it sees.

It is Debian's cloud kernel with a busybox initrd. ``build()`` makes it from Debian packages without installing
any of them and without mounting anything, and keeps it until its sources change. ``guest/init`` lists the
console's lines.
"""

from tests.lab.micro.build import CMDLINE, Guest, build

__all__ = ["CMDLINE", "Guest", "build"]
