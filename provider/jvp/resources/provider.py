"""The provider's own settings."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field

from jvp.core.model import Spec
from jvp.core.types import Duration, Label, clean, duration_s, refuse_port, shortened

_TRANSPORTS = ("ssh", "tcp", "tls", "unix", "libssh", "libssh2", "ext")
_LIKE = "it looks like qemu:///system or qemu+ssh://root@host/system"


def _uri(text: str) -> str:
    """Source: libvirt, the reference of connection URIs; a word alone is an alias of the user's libvirt.conf."""
    if not text:
        raise ValueError("must not be empty; leave it out for qemu:///system")
    clean(text)
    if re.fullmatch(r"[A-Za-z0-9_-]+", text, re.ASCII):
        return text
    try:
        parts = urlsplit(text)
        _ = parts.hostname
    except ValueError:
        raise ValueError(f"is not a connection; {_LIKE}") from None
    driver, _, transport = text.partition(":")[0].partition("+")
    if "://" not in text or " " in text:
        raise ValueError(f"is not a connection; {_LIKE}")
    if driver != "qemu":
        raise ValueError(f"must begin with qemu, for jvp manages QEMU and KVM; {_LIKE}")
    if transport and transport not in _TRANSPORTS:
        raise ValueError(f"has a transport that is none; there are {', '.join(_TRANSPORTS)}")
    if parts.path not in ("/system", "/session"):
        raise ValueError(f"must end with /system or /session; {_LIKE}")
    refuse_port(parts)
    for name, value in parse_qsl(parts.query):
        if value.startswith("~"):
            raise ValueError(f"has {name}={shortened(value)}, but only a shell resolves ~; write the whole path")
    return text


def _some_time(text: str) -> str:
    if duration_s(text) == 0:
        raise ValueError("must be more than zero")
    return text


_Timeout = Annotated[Duration, AfterValidator(_some_time)]


class Timeouts(Spec):
    """How long a verb may take. A resource's own `customTimeouts` win."""

    create: Annotated[_Timeout, Field(description="Creating a resource, its guest's boot included.")] = "10m"
    update: Annotated[_Timeout, Field(description="Updating a resource.")] = "10m"
    delete: Annotated[_Timeout, Field(description="Deleting a resource, a graceful stop included.")] = "5m"


class Provider(Spec):
    """Where the objects are, and whose they are."""

    uri: Annotated[
        Annotated[str, AfterValidator(_uri)] | None,
        Field(
            description="The libvirt connection, like qemu:///system, qemu+ssh://root@host/system or "
            "qemu+tcp://host/system. By default LIBVIRT_DEFAULT_URI, and if that is unset qemu:///system."
        ),
    ] = None
    owner: Annotated[
        Label | None,
        Field(
            description="Whose objects these are. Needed only where two backends hold a stack of the same name "
            "and project for one node: objects of another owner are then never taken for this one's.",
        ),
    ] = None
    adopt: Annotated[
        bool,
        Field(
            description="Whether an object that is there already under a declared name is taken over, and changed to "
            "what is declared, instead of refused. From then on it is the program's, and goes with it."
        ),
    ] = False
    virt_type: Annotated[
        Literal["auto", "kvm", "qemu"],
        Field(
            description="How instances run that do not say: kvm is hardware virtualisation, qemu is emulation, "
            "auto tries kvm on the node and takes it when it really works."
        ),
    ] = "auto"
    allow_qemu_options: Annotated[
        bool,
        Field(
            description="Whether an instance's `xml` may give options to QEMU itself, which libvirt does not check: "
            "they can open any file of the node that QEMU may."
        ),
    ] = False
    timeouts: Annotated[Timeouts, Field(description="How long verbs may take.")] = Timeouts()
