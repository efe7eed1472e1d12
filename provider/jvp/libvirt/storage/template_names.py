"""The names of the volumes that templates lie in. Models know them too, so nothing here needs libvirt."""

from __future__ import annotations

import re

_VOLUME = re.compile(r"jvp-template-(?P<name>.+)-(?P<digest>[0-9a-f]{12})")
DIGEST_LENGTH = 12


def volume_name(template: str, digest: str) -> str:
    """The volume of one generation; `digest` may be longer than what the name takes."""
    return f"jvp-template-{template}-{digest[:DIGEST_LENGTH]}"


def parsed_name(volume: str) -> tuple[str, str] | None:
    """Template and digest of a generation's volume; None for the name of any other volume."""
    match = _VOLUME.fullmatch(volume)
    return (match["name"], match["digest"]) if match else None
