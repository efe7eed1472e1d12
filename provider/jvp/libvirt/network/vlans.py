"""The VLANs of a network or a card in libvirt's XML: `<vlan>`, with a trunk's untagged one as its native VLAN."""

from __future__ import annotations

from jvp.libvirt.link import told
from jvp.libvirt.link.xml import Element, drop, sub


def read(holder: Element) -> tuple[int | None, list[int]]:
    """The VLAN that frames without a tag are in, and those that a trunk carries."""
    vlan: int | None = None
    trunk: list[int] = []
    element = holder.find("vlan")
    tags = element.findall("tag") if element is not None else []
    is_trunk = element is not None and (element.get("trunk") == "yes" or len(tags) > 1)
    for tag in tags:
        number = told.number(tag.get("id"))
        if number is None:
            continue
        if is_trunk and tag.get("nativeMode") is None:
            trunk.append(number)
        else:
            vlan = number
    return vlan, trunk


def write(holder: Element, vlan: int | None, trunk: list[int]) -> None:
    """Have it be in these, where it is in others."""
    if read(holder) == (vlan, trunk):
        return
    drop(holder, "vlan")
    if vlan is None and not trunk:
        return
    element = sub(holder, "vlan", trunk="yes" if trunk else None)
    if vlan is not None:
        sub(element, "tag", id=str(vlan), nativeMode="untagged" if trunk else None)
    for one in trunk:
        sub(element, "tag", id=str(one))
