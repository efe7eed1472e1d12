"""The name of a network interface of the node."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from jvp.core.types import shortened

_KERNELS = ("all", "default")
"""Source: /proc/sys/net/ipv4/conf, where each interface has a folder of its name beside these."""


def _interface(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is not an interface name: at most 15 letters, digits, . _ and -')
    if text in _KERNELS:
        raise ValueError(f'"{text}" is what the kernel calls all interfaces; take another name')
    return text


InterfaceName = Annotated[str, AfterValidator(_interface)]
