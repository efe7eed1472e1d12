"""What others tell, as what it claims to be: a number, an address, a time. What is none is None, and never an error.

A guest's agent, a lease, a file in a pool and a definition that somebody edited may say anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from jvp.core.types import LAST_TIME, address_of, utc_text

_NUMBER = re.compile(r"\d{1,20}", re.ASCII)
_MAX = 2**64 - 1
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII | re.IGNORECASE)
_NOTE_MAX = 16 * 1024
_HOST = re.compile(r"[\w.-]{1,253}", re.ASCII)


def number(text: object) -> int | None:
    """A size or a count: not negative, and no more than libvirt itself can count."""
    if not isinstance(text, str) or _NUMBER.fullmatch(text) is None:
        return None
    return found if (found := int(text)) <= _MAX else None


def address(text: object) -> str | None:
    """An IP address in its usual spelling, without the name of an interface behind it."""
    try:
        return str(address_of(text)) if isinstance(text, str) else None
    except ValueError:
        return None


def mac(text: object) -> str | None:
    """A MAC address in lower case."""
    return text.lower() if isinstance(text, str) and _MAC.fullmatch(text) else None


def host_name(text: object) -> str | None:
    """The name of a host, as DHCP clients send it."""
    return text if isinstance(text, str) and _HOST.fullmatch(text) else None


def time(seconds: object) -> str | None:
    """A time in seconds since 1970, as text in UTC; None for none, and for one that no calendar has."""
    return utc_text(seconds) if isinstance(seconds, int) and 0 < seconds <= LAST_TIME else None


def json_of(text: str | bytes) -> Any:
    """What JSON holds; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def note(found: object) -> str:
    """A note of ours as it stands: one line of text, and not too long; an empty one for what is none."""
    return found if isinstance(found, str) and len(found) <= _NOTE_MAX and found.isprintable() else ""


def readable(ask: Callable[[], str]) -> str:
    """What a call of libvirt says. Bytes that are no text stand as their escapes: a file may have any name."""
    try:
        return ask()
    except UnicodeDecodeError as error:
        return readable_of(error)


def readable_of(error: UnicodeDecodeError) -> str:
    return error.object.decode(errors="backslashreplace")
