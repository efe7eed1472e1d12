"""An error of libvirt keeps its code, whatever is freed while the exception for it is made."""

from __future__ import annotations

import libvirt
import libvirtmod
import pytest

from jvp.libvirt.link import raised
from jvp.libvirt.link.errors import Gone, is_gone


def test_what_is_freed_meanwhile_takes_no_error_away() -> None:
    raised.keep()
    connection = libvirt.open("test:///default")
    network = connection.networkLookupByName("default")
    assert libvirtmod.virDomainLookupByName(connection._o, "nobody") is None
    del network  # as the garbage collector may, between a call and its exception
    assert libvirtmod.virGetLastError() is None
    error = libvirt.libvirtError("virDomainLookupByName() failed")
    assert is_gone(error, Gone.DOMAIN)
    assert "Domain not found" in str(error)
    connection.close()


def test_a_failure_of_the_binding_itself_takes_nothing_of_an_earlier_error() -> None:
    raised.keep()
    connection = libvirt.open("test:///default")
    with pytest.raises(libvirt.libvirtError):
        connection.lookupByName("nobody")
    connection.close()
    assert libvirt.libvirtError("the binding's own").get_error_code() is None
