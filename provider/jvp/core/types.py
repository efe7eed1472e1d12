"""The types of properties that are more than a plain string, each with one parser and one sentence.

A value keeps the user's spelling; `Same` says what it means.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import uuid
from functools import partial
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator

from jvp.core.facts import ForAdmins, LocalFile, Same, Unit, Uploaded
from jvp.core.text import shortened as shortened

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_SIZE = re.compile(r"\s*(\d{1,30}(?:\.\d{1,9})?)\s*([A-Za-z]+)\s*", re.ASCII)
_UNITS: dict[str, int] = {
    **{name: 1024**power for power, name in enumerate(("KiB", "MiB", "GiB", "TiB"), 1)},
    **{name: 1000**power for power, name in enumerate(("kB", "MB", "GB", "TB"), 1)},
}
MAX_BYTES = 2**53 - 512
"""The largest size that survives a JSON number; 9 PB."""
_MAX_QCOW2 = 2048 * 1024**4
"""Source: QEMU, block/qcow2.h: an L1 table of at most 32 MiB, over clusters of 64 KiB."""
_DURATION = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*", re.ASCII)
MAX_NAME, TEXT_MAX = 100, 4096
_DNS_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*", re.ASCII)


def size_bytes(text: str) -> int:
    """A size in bytes: `2GiB` is 2 * 1024**3, `2GB` is 2 * 1000**3. Raises ValueError with a sentence."""
    match = _SIZE.fullmatch(text)
    examples = 'write it with a unit: "512MiB", "20GiB", "1.5TB"'
    if match is None:
        raise ValueError(f'"{shortened(text)}" is not a size; {examples}')
    number, unit = match.groups()
    if unit not in _UNITS:
        raise ValueError(f'"{unit}" is not a unit of size; there are {", ".join(_UNITS)}')
    whole, _, fraction = number.partition(".")
    scaled = int(whole + fraction) * _UNITS[unit]
    size, rest = divmod(scaled, int("1" + "0" * len(fraction)))
    if rest:
        raise ValueError(f'"{text}" is not a whole number of bytes')
    if size == 0:
        raise ValueError("must be more than zero")
    if size > MAX_BYTES:
        raise ValueError(f'"{shortened(text)}" is more than any host can hold')
    return size


def size_text(size: int) -> str:
    """The shortest exact spelling of a size in bytes, as sizes are written on import: `2GiB`.

    Bytes that are no whole number of KiB or kB are rounded up to sectors of 512: disks have nothing finer.
    """
    for name in ("TiB", "GiB", "MiB", "KiB") if size else ("KiB",):
        if size % _UNITS[name] == 0:
            return f"{size // _UNITS[name]}{name}"
    if size % 1000 == 0:
        return f"{size // 1000}kB"
    whole, half = divmod(-(-size // 512), 2)
    return f"{whole}.5KiB" if half else f"{whole}KiB"


def disk_bytes(text: str) -> int:
    """A size as a disk has it: whole sectors of 512 bytes, rounded up."""
    return -(-size_bytes(text) // 512) * 512


def over_qcow2(text: str) -> str | None:
    """Why a size is none of a qcow2 image; None when it is one."""
    if disk_bytes(text) <= _MAX_QCOW2:
        return None
    return f'"{text}" is more than the {size_text(_MAX_QCOW2)} that a qcow2 image can have'


def memory_bytes(text: str) -> int:
    """A size as a guest's memory has it: whole MiB, rounded up. Source: QEMU starts with nothing finer."""
    return whole_mib(size_bytes(text))


def whole_mib(size: int) -> int:
    """A size in bytes, rounded up to MiB."""
    return -(-size // 1024**2) * 1024**2


def duration_s(text: str) -> int:
    """Seconds of `90s`, `5m`, `1h30m`. Raises ValueError with a sentence."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f'"{shortened(text)}" is not a duration; write it with units: "90s", "5m", "1h30m"')
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total > 7 * 86400:
        raise ValueError(f'"{text}" is more than a week')
    return total


_LIFETIME = re.compile(r"([1-9][0-9]{0,5})([mhd])", re.ASCII)


def lifetime_s(text: str) -> float | None:
    """Seconds of `12h` or `90d`, None of `never`. Raises ValueError with a sentence."""
    if text == "never":
        return None
    match = _LIFETIME.fullmatch(text)
    if match is None:
        raise ValueError('must be like "12h" or "90d", or "never"')
    return float(int(match[1]) * {"m": 60, "h": 3600, "d": 86400}[match[2]])


def _name(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    if len(text) > MAX_NAME:
        raise ValueError(f"is {len(text)} characters long; at most {MAX_NAME} are allowed")
    if _NAME.fullmatch(text) is None:
        raise ValueError(
            f'"{shortened(text)}" is not a name: letters, digits and . _ + - are allowed, '
            "beginning with a letter or digit"
        )
    return text


def _size(text: str) -> str:
    size_bytes(text)
    return text


def _duration(text: str) -> str:
    duration_s(text)
    return text


def _cidr(text: str) -> str:
    network_of(text)
    return text


def network_of(text: str) -> IPNetwork:
    """The network of a CIDR. Raises ValueError with a sentence; host bits are refused, with what was meant."""
    _refuse_scope(text)
    if "/" not in text:
        raise ValueError(f'"{shortened(text)}" has no prefix length; write it like "192.168.50.0/24"')
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'"{shortened(text)}" is not a network; write it like "192.168.50.0/24"') from None
    raise ValueError(f'"{text}" has host bits set; the network is "{meant}"')


def address_of(text: str) -> IPAddress:
    """The address. Raises ValueError with a sentence."""
    _refuse_scope(text)
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f'"{shortened(text)}" is not an IP address') from None


def _refuse_scope(text: str) -> None:
    """An interface of one machine is no part of an address that others read; `ipaddress` takes it for one."""
    if "%" in text:
        raise ValueError(f'"{shortened(text)}" names an interface; leave out the % and what follows it')


def _address(text: str) -> str:
    address_of(text)
    return text


def _dns_name(kind: str, text: str) -> str:
    if len(text) > 253 or _DNS_NAME.fullmatch(text) is None:
        raise ValueError(f'"{shortened(text)}" is not a {kind} name: letters, digits and - in labels of at most 63')
    return text


def _mac(text: str) -> str:
    if re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is not a MAC address; write it like "52:54:00:12:34:56"')
    first = int(text[:2], 16)
    if first & 1:
        raise ValueError(f'"{text}" is a multicast address; the first byte of a guest\'s MAC must be even')
    if text.replace(":", "") == "000000000000":
        raise ValueError("must not be all zeros")
    return text


def dashed(mac: str) -> str:
    """A MAC as a name: `52-54-00-12-34-56`."""
    return mac.lower().replace(":", "-")


def _refuse_home(text: str) -> None:
    """A shell turns it into a home folder; here it would be a folder of that name."""
    if text.partition("/")[0].startswith("~"):
        raise ValueError(
            f'"{shortened(text)}" begins with ~, which only a shell resolves; write the whole path (in HCL '
            'pathexpand("~/…"), in Python os.path.expanduser)'
        )


def _absolute(text: str) -> str:
    _refuse_home(text)
    if not text.startswith("/"):
        raise ValueError(f'"{shortened(text)}" is not an absolute path')
    if ".." in text.split("/"):
        raise ValueError(f'"{shortened(text)}" must not contain ".."')
    return clean(text)


def _of_file(text: str) -> str:
    if text.endswith("/"):
        raise ValueError(f'"{shortened(text)}" is a folder; give the path of a file')
    return text


def _local(text: str) -> str:
    if not text:
        raise ValueError("must not be empty; give the path of a file")
    _refuse_home(text)
    return clean(text)


def _sha256(text: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise ValueError("must be the checksum of an uploaded image: sha256: and 64 hexadecimal digits in lower case")
    return text


def _label(text: str) -> str:
    if len(text) > MAX_NAME:
        raise ValueError(f"is {len(text)} characters long; at most {MAX_NAME} are allowed")
    return clean(text)


def clean(text: str) -> str:
    """Free text that can stand in XML and in one line. Raises ValueError with a sentence."""
    if not text.isprintable():
        raise ValueError(f'"{shortened(text)}" has control characters')
    if len(text) > TEXT_MAX:
        raise ValueError(f"is {len(text)} characters long; at most {TEXT_MAX} are allowed")
    return text


def _lines(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty; leave it out")
    clean(text.replace("\n", " ").replace("\t", " "))
    return text


def is_uuid(text: str) -> bool:
    """Whether `text` is a uuid in the usual spelling."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def url(text: str) -> str:
    """An address of a file on the web. Raises ValueError with a sentence.

    Source: RFC 3986; what cannot be one is known without asking for it.
    """
    clean(text)
    if " " in text:
        raise ValueError("has a space in it; a space is written %20")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("is not a valid URL") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("must begin with http:// or https://; a file on this machine goes by its path")
    if not parts.hostname:
        raise ValueError("names no host")
    if len(parts.hostname) > 253 or not all(0 < len(one) < 64 for one in parts.hostname.rstrip(".").split(".")):
        raise ValueError(f'"{shortened(parts.hostname)}" is not the name of a host')
    refuse_port(parts)
    return text


def _leads_inwards(text: str) -> bool:
    """Whether an address of the web tells by itself that it is none of the open internet."""
    host = ""
    try:
        host = urlsplit(text).hostname or ""
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def refuse_port(parts: SplitResult) -> None:
    """Raise ValueError with a sentence for a port that there cannot be."""
    try:
        fine = parts.port is None or parts.port > 0
    except ValueError:
        fine = False
    if not fine:
        raise ValueError("has a port that is none; ports go from 1 to 65535")


def reference(text: str) -> str:
    """An id or a name. Raises ValueError with a sentence."""
    if not text:
        raise ValueError("must not be empty; give the id or the name")
    if text.startswith("~/"):
        _refuse_home(text)
    return clean(text)


def in_lower_case(text: str) -> str:
    """A reference with its uuid as libvirt spells it; a name is as it is."""
    first, slash, rest = text.partition("/")
    return f"{first.lower()}{slash}{rest}" if is_uuid(first) else text


def bare(value: object) -> object:
    """A bare number as text, so that what is said of it is that it lacks its unit."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return str(int(value)) if isinstance(value, int) or value.is_integer() else str(value)


_BARE = BeforeValidator(bare)
Name = Annotated[str, AfterValidator(_name)]
"""The name of an object on a node."""
Size = Annotated[str, _BARE, AfterValidator(_size), Same(size_bytes), Unit("size with a unit, like 512MiB or 20GiB")]
DiskSize = Annotated[
    str, _BARE, AfterValidator(_size), Same(disk_bytes), Unit("size with a unit, like 512MiB or 20GiB")
]
MemorySize = Annotated[
    str, _BARE, AfterValidator(_size), Same(memory_bytes), Unit("size with a unit, like 512MiB or 20GiB")
]
Duration = Annotated[str, _BARE, AfterValidator(_duration), Same(duration_s), Unit("duration like 90s, 5m or 1h30m")]
Cidr = Annotated[str, AfterValidator(_cidr), Same(network_of), Unit("CIDR like 192.168.50.0/24")]
Address = Annotated[str, AfterValidator(_address), Same(address_of), Unit("IP address")]
Mac = Annotated[str, AfterValidator(_mac), Same(str.lower), Unit("MAC address like 52:54:00:12:34:56")]
DomainName = Annotated[
    str, AfterValidator(partial(_dns_name, "domain")), Same(str.lower), Unit("DNS name like lab.example")
]
HostName = Annotated[str, AfterValidator(partial(_dns_name, "host"))]
NodePath = Annotated[
    str, AfterValidator(_absolute), Unit("absolute path on the node"), ForAdmins("names a path of the node")
]
NodeFile = Annotated[NodePath, AfterValidator(_of_file)]
GuestFile = Annotated[str, AfterValidator(_absolute), AfterValidator(_of_file), Unit("absolute path in the guest")]
LocalPath = Annotated[str, AfterValidator(_local), LocalFile()]
"""A file on the machine where the provider runs."""
Upload = Annotated[str, AfterValidator(_sha256), Uploaded()]
"""An image that was uploaded."""
Text = Annotated[str, AfterValidator(clean)]
Lines = Annotated[str, AfterValidator(_lines)]
"""Free text of one line or several."""
Label = Annotated[str, AfterValidator(_label)]
"""A short free text."""
Url = Annotated[
    str, AfterValidator(url), Unit("http or https address"),
    ForAdmins("leads into a private, loopback or link-local range", when=_leads_inwards),
]  # fmt: skip
Reference = Annotated[
    str, AfterValidator(reference), Same(in_lower_case),
    ForAdmins("names a path of the node", when=lambda text: text.startswith("/")),
]  # fmt: skip
"""Another object, by id or by name."""


def counted(number: int, thing: str) -> str:
    """A number of things for a sentence: `1 CPU`, `2 CPUs`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


LAST_TIME = 253_402_300_799
"""The end of the year 9999, as far as calendars go."""


def utc_text(seconds: float) -> str:
    """A time, given in seconds since 1970, to the second and in UTC (RFC 3339)."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).isoformat().replace("+00:00", "Z")
