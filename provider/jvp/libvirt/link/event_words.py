"""The words for libvirt's events: what happened, and what it is about. Source: libvirt, virDomainEventID and its like.

Words for reasons come from the names of libvirt's own constants, so that a newer libvirt has its own.
"""

from __future__ import annotations

from collections.abc import Callable

import libvirt

Words = tuple[str, str]
"""What happened; what it is about, or why."""
Say = Callable[..., Words]
"""Of what libvirt tells beside the object."""

_DOMAIN = (
    ("DEFINED", "defined"), ("UNDEFINED", "undefined"), ("STARTED", "started"), ("SUSPENDED", "paused"),
    ("RESUMED", "resumed"), ("STOPPED", "stopped"), ("SHUTDOWN", "shut-down"), ("PMSUSPENDED", "asleep"),
    ("CRASHED", "crashed"),
)  # fmt: skip
"""By their numbers: a part of the constants' names, and the word."""
_NETWORK = "defined", "undefined", "started", "stopped"
_POOL = *_NETWORK, "built", "deleted"
_JOB = "completed", "failed", "cancelled", "ready"


def _named(prefix: str, number: int) -> str:
    """The word in the name of a constant: `ioerror` of VIR_DOMAIN_EVENT_SUSPENDED_IOERROR."""
    for name, value in vars(libvirt).items():
        if value == number and name.startswith(prefix):
            return str(name).removeprefix(prefix).lower().replace("_", "-")
    return ""


def _lifecycle(event: int, detail: int) -> Words:
    if not 0 <= event < len(_DOMAIN):
        return "changed", ""
    part, word = _DOMAIN[event]
    why = _named(f"VIR_DOMAIN_EVENT_{part}_", detail)
    return ("crashed", "") if (word, why) == ("stopped", "crashed") else (word, why)


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if 0 <= number < len(words) else "changed"


DOMAIN: dict[str, Say] = {
    "LIFECYCLE": _lifecycle,
    "REBOOT": lambda: ("rebooted", ""),
    "WATCHDOG": lambda action: ("watchdog", _named("VIR_DOMAIN_EVENT_WATCHDOG_", action)),
    "IO_ERROR_REASON": lambda _path, device, _action, why: ("io-error", " ".join(filter(None, (device, why)))),
    "BLOCK_JOB_2": lambda disk, _kind, status: (f"block-job-{_word(_JOB, status)}", disk),
    "DISK_CHANGE": lambda _old, _new, device, _why: ("medium-changed", device),
    "TRAY_CHANGE": lambda device, why: (f"tray-{_named('VIR_DOMAIN_EVENT_TRAY_CHANGE_', why)}", device),
    "BALLOON_CHANGE": lambda kib: ("memory-changed", f"{kib} KiB"),
    "DEVICE_ADDED": lambda device: ("device-added", device),
    "DEVICE_REMOVED": lambda device: ("device-removed", device),
    "DEVICE_REMOVAL_FAILED": lambda device: ("device-removal-failed", device),
    "TUNABLE": lambda changed: ("tunables-changed", " ".join(sorted(changed))),
    "AGENT_LIFECYCLE": lambda state, _why: (
        f"agent-{_named('VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_', state)}", ""
    ),
    "JOB_COMPLETED": lambda _told: ("job-completed", ""),
    "METADATA_CHANGE": lambda _kind, space: ("metadata-changed", space or ""),
}  # fmt: skip
"""By a part of the name of the event's constant."""
NETWORK: dict[str, Say] = {
    "LIFECYCLE": lambda event, _why: (_word(_NETWORK, event), ""),
    "METADATA_CHANGE": lambda _kind, space: ("metadata-changed", space or ""),
}
POOL: dict[str, Say] = {
    "LIFECYCLE": lambda event, _why: (_word(_POOL, event), ""),
    "REFRESH": lambda: ("refreshed", ""),
}


def numbered(prefix: str, table: dict[str, Say]) -> list[tuple[int, Say]]:
    """The events of a table by their numbers; of those alone that this libvirt-python knows."""
    names = vars(libvirt)
    return [(names[prefix + part], say) for part, say in table.items() if prefix + part in names]
