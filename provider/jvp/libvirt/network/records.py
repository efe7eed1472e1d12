"""DNS records of a running network, which libvirt takes in and out one by one."""

from __future__ import annotations

import libvirt

from jvp.libvirt.link import handles
from jvp.libvirt.link.xml import Element, text_of

_SECTIONS = {
    "host": libvirt.VIR_NETWORK_SECTION_DNS_HOST,
    "txt": libvirt.VIR_NETWORK_SECTION_DNS_TXT,
    "srv": libvirt.VIR_NETWORK_SECTION_DNS_SRV,
}
_ADD, _DELETE = libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE


def converge(network: handles.Network, running: Element, wanted: Element) -> None:
    """Bring the records of a network from how it runs to its definition. Again: yes. Raises libvirtError.

    None can be changed: it is taken out and put in.
    """
    for tag, section in _SECTIONS.items():
        now, then = (_texts(root, tag) for root in (running, wanted))
        out, new = ([one for one in mine if one not in theirs] for mine, theirs in ((now, then), (then, now)))
        for command, texts in ((_DELETE, out), (_ADD, new)):
            for text in texts:
                network.update(command, section, -1, text, libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE)


def _texts(root: Element, tag: str) -> list[str]:
    return [text_of(one).strip() for one in root.iterfind(f"dns/{tag}")]
