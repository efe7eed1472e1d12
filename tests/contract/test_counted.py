"""The counter of libvirt calls that other tests rely on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.contract.counted import counting


def test_what_goes_to_the_daemon_is_counted_in_every_thread_and_the_rest_is_not(daemon: Any, prefix: str) -> None:
    domain = daemon.defineXML(f"<domain type='qemu'><name>{prefix}counted</name><memory>1024</memory>"
                              "<os><type>hvm</type></os></domain>")  # fmt: skip
    try:
        with counting() as asked, ThreadPoolExecutor(1) as thread:
            assert domain.name() == daemon.lookupByUUIDString(domain.UUIDString()).name()
            assert daemon.isAlive()
            domain.XMLDesc(0)
            thread.submit(domain.XMLDesc, 0).result()
        daemon.getHostname()
    finally:
        domain.undefine()
    assert asked == {"virDomainLookupByUUIDString": 1, "virDomainGetXMLDesc": 2}
    assert asked.total() == 3
