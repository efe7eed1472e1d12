"""What libvirt said when it raised an error, kept until the exception for it is made.

Python's binding asks libvirt for the error of the thread when it makes the exception. The garbage collector may run
just before that. Where it frees an object of libvirt, libvirt forgets the error, and the exception would have no code:
a lookup of what is not there would look like a failure. Source: measured with libvirt-python 9.0; where the collector
runs all the time nine of ten errors are lost, and with this one in fifty: those that it frees while they are told here.
"""

from __future__ import annotations

import threading
from typing import Any

import libvirt

_here = threading.local()
_made = libvirt.libvirtError.__init__
Raised = tuple[int, int, str, int, str, str | None, str | None, int, int]


def keep() -> None:
    """Take the errors that libvirt would print on stderr, and complete exceptions that lost theirs. Again: yes."""
    libvirt.registerErrorHandler(_note, None)
    libvirt.libvirtError.__init__ = _make


def _note(_context: Any, error: Raised) -> None:
    if error[0] != libvirt.VIR_ERR_OK:
        _here.error = error


def _make(self: libvirt.libvirtError, defmsg: str) -> None:
    noted: Raised | None = getattr(_here, "error", None)
    _here.error = None
    _made(self, defmsg)
    if self.err is None and noted is not None:
        self.err, self.args = noted, (noted[2],)
