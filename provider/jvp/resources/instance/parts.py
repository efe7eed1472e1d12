"""Parts of a machine that no property names and every one of ours has: without them something of jvp does not work."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from jvp.libvirt.link.xml import Element, drop, ensure, value

AGENT = "org.qemu.guest_agent.0"
_ENDS = {"on_poweroff": "destroy", "on_reboot": "restart", "on_crash": "destroy"}


@dataclass(frozen=True)
class Part:
    """One of them: when it is there, and what of a new machine puts it back."""

    lost: str
    """What a plan says when it is not there."""
    there: Callable[[Element], bool]
    paths: tuple[str, ...]


def _is_x86(root: Element) -> bool:
    return (value(root, "os/type/@arch") or "x86_64") in ("x86_64", "i686")


def _has_agent(root: Element) -> bool:
    return any(one.get("name") == AGENT for one in root.iterfind("devices/channel/target"))


PARTS = (
    Part("its guest agent's channel is gone", _has_agent, ("devices/channel",)),
    Part(
        "its serial console is gone",
        lambda root: root.find("devices/serial") is not None,
        ("devices/serial", "devices/console"),
    ),
    Part(
        "its balloon is gone, without which memory cannot change",
        lambda root: value(root, "devices/memballoon/@model") not in (None, "none"),
        ("devices/memballoon",),
    ),
    Part("its random numbers are gone", lambda root: root.find("devices/rng") is not None, ("devices/rng",)),
    Part(
        "its power button is gone",
        lambda root: not _is_x86(root) or root.find("features/acpi") is not None,
        ("features/acpi",),
    ),
    Part(
        "what becomes of it when it ends is another",
        lambda root: all(value(root, tag) in (None, wanted) for tag, wanted in _ENDS.items()),
        tuple(_ENDS),
    ),
)


def lost(root: Element) -> list[Part]:
    """The parts that a definition has not."""
    return [part for part in PARTS if not part.there(root)]


def restore(root: Element, part: Part, new: Element) -> None:
    """Put a part back, as it is in `new`, a machine that was just made."""
    for path in part.paths:
        whole = new.find(path)
        if whole is None:
            continue
        if path != "devices/channel":  # others may have put in further ones
            drop(root, path)
        holder, _, _ = path.rpartition("/")
        (ensure(root, holder) if holder else root).append(copy.deepcopy(whole))
