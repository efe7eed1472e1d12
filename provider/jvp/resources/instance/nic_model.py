"""The network cards of an instance, as a program declares them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from jvp.core.facts import Computed, ForAdmins
from jvp.core.interface_name import InterfaceName
from jvp.core.model import Rule, Spec
from jvp.core.types import Address, DomainName, Mac, Reference, address_of
from jvp.core.values import known, surely
from jvp.core.wires import DeviceMode, Vlan, trunk_rules
from jvp.resources.instance.disk_model import DeviceName


class Nic(Spec):
    """A network card. Its order in the list never matters."""

    name: Annotated[DeviceName, Field(description="A short name that stays with the card.")]
    network: Annotated[
        Reference | None,
        Field(
            description="The network, by id or name. Without one, and without a bridge or device, the card has "
            "user-mode networking: a way out, no way in."
        ),
    ] = None
    bridge: Annotated[
        InterfaceName | None, Field(description="A bridge of the node instead of a network, by the bridge's name.")
    ] = None
    device: Annotated[
        InterfaceName | None,
        ForAdmins("puts a guest on an interface of the node"),
        Field(
            description="An interface of the node instead of a network, by its name: the card is one more on its wire "
            "(macvtap). The guest and the node itself do not reach each other by it."
        ),
    ] = None
    device_mode: Annotated[
        DeviceMode | None,
        ForAdmins("changes how a guest is on an interface of the node"),
        Computed(),
        Field(
            description="How it is on `device`: bridge (by default), with the other guests there; vepa, by the switch "
            "outside; private, without them; passthrough, with the interface for itself."
        ),
    ] = None
    virtual_port: Annotated[
        Literal["openvswitch"] | None,
        Field(description="What kind of bridge `bridge` is, where that is no bridge of the kernel's."),
    ] = None
    vlan: Annotated[
        Vlan | None,
        ForAdmins("puts a guest in a VLAN of the node's wire"),
        Field(
            description="Its VLAN, where it is on `bridge` (of Open vSwitch, with libvirt 11.0 also one of the "
            "kernel's) or on `device` in passthrough; a network says its own. Beside `trunk`, the one of frames "
            "without a tag."
        ),
    ] = None
    trunk: Annotated[
        list[Vlan],
        ForAdmins("puts a guest in VLANs of the node's wire"),
        Field(description="VLANs that it has with their tags, on a bridge of Open vSwitch."),
    ] = []
    mac: Annotated[Mac | None, Computed(), Field(description="Its MAC address; chosen when left out.")] = None
    model: Annotated[
        Literal["virtio", "e1000e", "e1000", "rtl8139"],
        Field(description="The hardware that the guest sees; a running guest takes a new e1000 or rtl8139 only cold."),
    ] = "virtio"
    address: Annotated[
        Address | None,
        Field(
            description="An IPv4 address that the network's DHCP keeps for the card, from before the instance starts "
            "until it is deleted."
        ),
    ] = None
    hostname: Annotated[
        DomainName | None,
        Field(
            description="The host name that goes with the address: the network's DNS knows it, and its DHCP tells it "
            "to the guest."
        ),
    ] = None
    firewall: Annotated[
        Reference | None,
        Field(
            description="The firewall for what goes through the card, by id or name, from before the guest starts. "
            "libvirt filters no card with user-mode networking."
        ),
    ] = None


def is_user_mode(nic: Nic) -> bool:
    """Whether a card is on nothing of the node."""
    return nic.network is None and nic.bridge is None and nic.device is None


def card_rules(nics: Any) -> Iterator[Rule]:
    """What holds across the properties of each card."""
    for index, nic in enumerate(nics if isinstance(nics, list) else ()):
        if isinstance(nic, Nic):
            yield from ((("nics", index, name), why) for name, why in _of_card(nic))
            yield from ((("nics", index, *path), why) for path, why in _of_wire(nic))


def _of_wire(nic: Nic) -> Iterator[Rule]:
    """What a card has only on a bridge or an interface of the node, for a network says it for all of its cards."""
    if nic.device is None and surely(nic.device_mode):
        yield ("deviceMode",), "needs a device"
    if nic.bridge is None and surely(nic.virtual_port):
        yield ("virtualPort",), "needs a bridge"
    if surely(nic.vlan) and nic.bridge is None:
        if nic.device is None:
            yield ("vlan",), "needs a bridge or a device; the VLAN of a network's cards is said by the network"
        elif known(nic.device_mode) and nic.device_mode != "passthrough":
            yield ("vlan",), 'needs deviceMode "passthrough", in which the interface is the guest\'s alone'
    yield from trunk_rules(nic.vlan, nic.trunk, open_vswitch=nic.virtual_port is not None)


def _of_card(nic: Nic) -> Iterator[tuple[str, str]]:
    """A card is on one thing, an address is kept by a network, a host name goes with an address."""
    on = [name for name in ("network", "bridge", "device") if getattr(nic, name) is not None]
    if len(on) > 1:
        yield on[1], f"cannot be given beside {on[0]}: a card is on one of them"
    if nic.address is not None:
        if nic.network is None:
            yield "address", "needs a network, which keeps it for the card"
        elif known(nic.address) and address_of(nic.address).version != 4:
            yield "address", f'"{nic.address}" is not an IPv4 address'
    if nic.hostname is not None:
        if nic.address is None:
            yield "hostname", "needs an address, with which the network keeps it"
        elif known(nic.hostname) and not nic.hostname[0].isalpha():
            yield "hostname", f'"{nic.hostname}" must begin with a letter'
    if nic.firewall is not None and nic.network is None and nic.bridge is None:
        yield "firewall", "needs a network or a bridge: libvirt filters no other card"
