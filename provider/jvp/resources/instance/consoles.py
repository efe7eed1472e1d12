"""The consoles of an instance: where its serial lines and its screens are reached."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from jvp.core.model import Spec
from jvp.core.work import Work
from jvp.libvirt.domain import devices
from jvp.libvirt.domain.domains import DomainApi
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.link.xml import Element, value
from jvp.resources.instance.functions import GetInstanceArgs


class TextConsole(Spec):
    """A serial line, or a console of virtio."""

    key: ClassVar[str] = "name"

    name: Annotated[str, Field(description="What the guest sees and its number, like serial0 or virtio1.")]
    type: Annotated[str, Field(description="What it is on the node: pty, file, tcp, unix and so on.")]
    path: Annotated[
        str | None, Field(description="The node's terminal, file or socket; a terminal only while the guest runs.")
    ] = None
    address: Annotated[str | None, Field(description="With tcp and udp: the address that it listens on or calls.")] = (
        None
    )
    port: Annotated[int | None, Field(description="With tcp and udp: the port.")] = None
    log: Annotated[str | None, Field(description="The node's file that keeps what the guest says.")] = None


class GraphicalConsole(Spec):
    """A screen that a viewer can show."""

    key: ClassVar[str] = "type"

    type: Annotated[str, Field(description="The protocol: vnc, spice and so on.")]
    listen: Annotated[str | None, Field(description="How it is reached: address, network, socket, or none.")] = None
    address: Annotated[str | None, Field(description="The address that it listens on.")] = None
    port: Annotated[int | None, Field(description="The port; unset while a stopped guest has yet to be given one.")] = (
        None
    )
    tls_port: Annotated[int | None, Field(description="With spice: the port for TLS.")] = None
    socket: Annotated[str | None, Field(description="The node's socket that it listens on.")] = None
    password_set: Annotated[bool, Field(description="Whether a viewer is asked for a password.")] = False


class InstanceConsoles(Spec):
    """The consoles that an instance has: as it runs, or as it will at its next start."""

    id: Annotated[str, Field(description="The instance's id.")]
    running: Annotated[bool, Field(description="Whether it runs.")]
    texts: Annotated[list[TextConsole], Field(description="Serial lines and consoles of virtio.")]
    screens: Annotated[list[GraphicalConsole], Field(description="What a viewer can show.")]


class GetInstanceConsole:
    """Where the consoles of an instance are reached: serial lines and screens, without passwords."""

    token: ClassVar[str] = "getInstanceConsole"
    on: ClassVar[str] = "Instance"
    args: ClassVar[type[Spec]] = GetInstanceArgs
    result: ClassVar[type[Spec]] = InstanceConsoles

    def __init__(self, node: Node) -> None:
        self.node = node

    def call(self, work: Work, args: GetInstanceArgs) -> InstanceConsoles:
        """Raises NotFound with the names that exist."""
        with libvirt_errors(f'instance "{args.instance}"'):
            domain = DomainApi(self.node).by_reference(args.instance, ("instance",))
            root = devices.with_secrets(domain)
            return InstanceConsoles(
                id=domain.UUIDString(),
                running=root.get("id") is not None,
                texts=[_text(one) for one in root.iterfind("devices/*") if _is_text(one)],
                screens=[_screen(one) for one in root.iterfind("devices/graphics")],
            )


def _is_text(device: Element) -> bool:
    """libvirt shows the first serial line a second time, as a console."""
    return device.tag == "serial" or (device.tag == "console" and value(device, "target/@type") != "serial")


def _text(device: Element) -> TextConsole:
    kind = "serial" if device.tag == "serial" else value(device, "target/@type")
    return TextConsole(
        name=f"{kind}{value(device, 'target/@port')}",
        type=device.get("type", ""),
        path=value(device, "source/@path"),
        address=value(device, "source/@host"),
        port=_port(value(device, "source/@service")),
        log=value(device, "log/@file"),
    )


def _screen(device: Element) -> GraphicalConsole:
    return GraphicalConsole(
        type=device.get("type", ""),
        listen=value(device, "listen/@type"),
        address=value(device, "listen/@address"),
        port=_port(device.get("port")),
        tls_port=_port(device.get("tlsPort")),
        socket=value(device, "listen/@socket"),
        password_set=bool(device.get("passwd")),
    )


def _port(text: str | None) -> int | None:
    """libvirt writes -1, or 0, for a port that it has yet to choose."""
    return int(text) if text and text.isdigit() and int(text) else None
