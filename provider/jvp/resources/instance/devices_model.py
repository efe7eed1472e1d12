"""Devices that a machine has beside disks and cards, and what its firmware says of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from jvp.core.facts import Changes, Effect, ForAdmins
from jvp.core.model import Rule, Spec
from jvp.core.types import NodeFile, Text
from jvp.core.values import known


class Tpm(Spec):
    """A TPM 2.0."""

    type: Annotated[
        Literal["emulator", "passthrough"],
        ForAdmins("gives a guest the node's TPM", when=lambda text: text == "passthrough"),
        Field(description="emulator (swtpm on the node, a TPM of its own), or passthrough: one of the node's."),
    ] = "emulator"
    model: Annotated[
        Literal["tpm-crb", "tpm-tis"],
        Field(description="What the guest sees. On ARM there is tpm-tis alone."),
    ] = "tpm-crb"
    device: Annotated[
        NodeFile | None, Field(description="The device that is passed through; /dev/tpm0 unless said.")
    ] = None


class Watchdog(Spec):
    """A watchdog, which acts once the guest does not reset its timer any more."""

    model: Annotated[
        Literal["i6300esb", "ib700"], Field(description="i6300esb (PCI), or ib700 (ISA, on x86 alone).")
    ] = "i6300esb"
    action: Annotated[
        Literal["reset", "shutdown", "poweroff", "pause", "none", "inject-nmi"],
        Field(description="What becomes of the guest."),
    ] = "reset"


class Rng(Spec):
    """Where the guest's random numbers come from."""

    source: Annotated[
        Literal["/dev/urandom", "/dev/random", "/dev/hwrng"],
        ForAdmins("takes from a device of the node", when=lambda text: text == "/dev/hwrng"),
        Field(description="A device of the node."),
    ] = "/dev/urandom"
    rate: Annotated[
        int | None, Field(ge=1, le=2**31 - 1, description="The most that it takes from there, in bytes per second.")
    ] = None


class SmbiosSystem(Spec):
    """What the table of the system says."""

    manufacturer: Annotated[Text | None, Field(description="The manufacturer.")] = None
    product: Annotated[Text | None, Field(description="The product's name.")] = None
    version: Annotated[Text | None, Field(description="The version.")] = None
    serial: Annotated[Text | None, Field(description="The serial number.")] = None
    sku: Annotated[Text | None, Field(description="The stock keeping unit.")] = None
    family: Annotated[Text | None, Field(description="The family.")] = None


class SmbiosBoard(Spec):
    """What the table of the board says."""

    manufacturer: Annotated[Text | None, Field(description="The manufacturer.")] = None
    product: Annotated[Text | None, Field(description="The product's name.")] = None
    version: Annotated[Text | None, Field(description="The version.")] = None
    serial: Annotated[Text | None, Field(description="The serial number.")] = None
    asset: Annotated[Text | None, Field(description="The asset tag.")] = None
    location: Annotated[Text | None, Field(description="Where it is in the chassis.")] = None


class SmbiosChassis(Spec):
    """What the table of the chassis says."""

    manufacturer: Annotated[Text | None, Field(description="The manufacturer.")] = None
    version: Annotated[Text | None, Field(description="The version.")] = None
    serial: Annotated[Text | None, Field(description="The serial number.")] = None
    asset: Annotated[Text | None, Field(description="The asset tag.")] = None
    sku: Annotated[Text | None, Field(description="The stock keeping unit.")] = None


class Smbios(Spec):
    """What the firmware's tables say of the machine."""

    system: Annotated[SmbiosSystem | None, Field(description="The system; its uuid is the instance's.")] = None
    baseboard: Annotated[SmbiosBoard | None, Field(description="The board.")] = None
    chassis: Annotated[SmbiosChassis | None, Field(description="The chassis.")] = None
    oem_strings: Annotated[list[Text], Field(description="Free texts, which programs in the guest read.")] = []


class Devices(Spec):
    """These devices and tables."""

    tpm: Annotated[
        Tpm | None,
        Changes(Effect.NEXT_BOOT),
        Field(description="A TPM 2.0. What an emulated one keeps goes with the instance, and into no snapshot."),
    ] = None
    watchdog: Annotated[Watchdog | None, Changes(Effect.NEXT_BOOT), Field(description="Acts when the guest hangs.")] = (
        None
    )
    rng: Annotated[
        Rng | None,
        Changes(Effect.NEXT_BOOT),
        Field(description="Random numbers for the guest; by default those of /dev/urandom, as many as it likes."),
    ] = None
    smbios: Annotated[
        Smbios | None,
        Changes(Effect.NEXT_BOOT),
        Field(description="What the firmware's tables (dmidecode) say of the machine. Nothing in them is a secret."),
    ] = None


def device_rules(spec: Devices) -> Iterator[Rule]:
    """What is wrong with them, as far as no node is needed to tell."""
    if isinstance(spec.smbios, Smbios) and known(spec.smbios.oem_strings) and not _says_something(spec.smbios):
        yield ("smbios",), "says nothing; leave it out"
    if not isinstance(spec.tpm, Tpm) or not known(spec.tpm.type, spec.tpm.device):
        return
    if spec.tpm.type == "emulator" and spec.tpm.device is not None:
        yield ("tpm", "device"), 'is for the type "passthrough"'


def _says_something(smbios: Smbios) -> bool:
    tables = (smbios.system, smbios.baseboard, smbios.chassis)
    texts = (getattr(table, name) for table in tables if isinstance(table, Spec) for name in type(table).model_fields)
    unknown = any(table is not None and not isinstance(table, Spec) for table in tables)
    return unknown or bool(smbios.oem_strings) or any(text is not None for text in texts)
