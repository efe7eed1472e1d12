"""How much a guest may ask of a disk: limits of requests and of bytes per second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from jvp.core.errors import Path
from jvp.core.facts import At, Same, Unit
from jvp.core.model import Rule, Spec
from jvp.core.types import bare, size_bytes, size_text
from jvp.core.values import known

MOST = 10**15
"""Source: libvirt, QEMU_BLOCK_IOTUNE_MAX."""


def _rate(text: str) -> str:
    if size_bytes(text) > MOST:
        raise ValueError(f'"{text}" is more than the 1000TB per second that can be limited')
    return text


def rate_text(rate: int) -> str:
    """Bytes per second, exact: others may have set any number of them."""
    if rate % 512 == 0 or rate % 1000 == 0:
        return size_text(rate)
    whole, rest = divmod(rate, 1000)
    return f"{whole}.{rest:03}".rstrip("0") + "kB"


Rate = Annotated[
    str,
    BeforeValidator(bare),
    AfterValidator(_rate),
    Same(size_bytes),
    Unit("size per second with a unit, like 50MiB"),
]


class DiskIops(Spec):
    """Limits of a disk's requests per second. `total` counts reads and writes together."""

    total: Annotated[int | None, At("iotune/total_iops_sec"), Field(ge=1, le=MOST, description="Of both.")] = None
    read: Annotated[int | None, At("iotune/read_iops_sec"), Field(ge=1, le=MOST, description="Of reads.")] = None
    write: Annotated[int | None, At("iotune/write_iops_sec"), Field(ge=1, le=MOST, description="Of writes.")] = None
    total_max: Annotated[
        int | None,
        At("iotune/total_iops_sec_max"),
        Field(ge=1, le=MOST, description="Of both, for a second."),
    ] = None
    read_max: Annotated[
        int | None,
        At("iotune/read_iops_sec_max"),
        Field(ge=1, le=MOST, description="Of reads, for a second."),
    ] = None
    write_max: Annotated[
        int | None,
        At("iotune/write_iops_sec_max"),
        Field(ge=1, le=MOST, description="Of writes, for a second."),
    ] = None


class DiskBandwidth(Spec):
    """Limits of a disk's bytes per second. `total` counts reads and writes together."""

    total: Annotated[Rate | None, At("iotune/total_bytes_sec"), Field(description="Of both.")] = None
    read: Annotated[Rate | None, At("iotune/read_bytes_sec"), Field(description="Of reads.")] = None
    write: Annotated[Rate | None, At("iotune/write_bytes_sec"), Field(description="Of writes.")] = None
    total_max: Annotated[Rate | None, At("iotune/total_bytes_sec_max"), Field(description="Of both, for a second.")] = (
        None
    )
    read_max: Annotated[Rate | None, At("iotune/read_bytes_sec_max"), Field(description="Of reads, for a second.")] = (
        None
    )
    write_max: Annotated[
        Rate | None, At("iotune/write_bytes_sec_max"), Field(description="Of writes, for a second.")
    ] = None


def limit_rules(limits: Any, path: Path) -> Iterator[Rule]:
    """Of both together or of each, and a burst is over what it is a burst of. Source: libvirt refuses the rest."""
    if not isinstance(limits, DiskIops | DiskBandwidth):
        return
    number: Callable[[Any], int] = int if isinstance(limits, DiskIops) else size_bytes
    for side in ("read", "write"):
        if getattr(limits, side) is not None and limits.total is not None:
            yield (*path, side), "cannot stand beside total, which counts reads and writes together"
    for side in ("total", "read", "write"):
        least, most = getattr(limits, side), getattr(limits, f"{side}_max")
        if most is None or not known(least, most):
            continue
        if least is None:
            yield (*path, f"{side}Max"), f"needs {side}, of which it is the burst"
        elif number(most) < number(least):
            yield (*path, f"{side}Max"), f"is less than {side}"
