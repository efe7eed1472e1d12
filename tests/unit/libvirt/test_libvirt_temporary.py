"""The temporary domain by which QEMU works on a file: when another run's is waited for."""

from __future__ import annotations

from typing import Any

import libvirt
import pytest

from jvp.core.work import Work
from jvp.libvirt.domain import temporary

pytestmark = pytest.mark.unit


def error(code: int) -> libvirt.libvirtError:
    made = libvirt.libvirtError("x")
    made.err = (code, 0, "why it does not start", 0, "", None, None, 0, 0)
    return made


class Node:
    """One on which no domain starts; another run's is there at first."""

    def __init__(self, there: int) -> None:
        self.connection, self.there, self.tried = self, there, 0

    def createXML(self, *_: Any) -> None:
        self.tried += 1
        raise error(libvirt.VIR_ERR_OPERATION_FAILED)

    def lookupByUUIDString(self, _uuid: str) -> None:
        if self.tried > self.there:
            raise error(libvirt.VIR_ERR_NO_DOMAIN)


@pytest.mark.parametrize("there", [0, 1])
def test_only_another_run_is_waited_for(monkeypatch: pytest.MonkeyPatch, there: int) -> None:
    """One that has just ended may be why it failed, so it is tried once more."""
    monkeypatch.setattr(Work, "wait", lambda *_: None)
    node = Node(there)
    with pytest.raises(libvirt.libvirtError, match="x"):
        temporary._begun(Work(), node, "<domain/>", "uuid", "the disk")  # type: ignore[arg-type]
    assert node.tried == there + 2
