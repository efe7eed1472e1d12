"""What the guest is told at its first boot, as typed properties or as raw user data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from jvp.core.errors import Path
from jvp.core.facts import Later, Same
from jvp.core.model import Rule, Spec
from jvp.core.types import GuestFile, HostName, shortened
from jvp.core.values import Secret, known, reveal, surely
from jvp.images import userdata

_LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII)
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", re.ASCII)
"""Users and groups that the guest may have already: Debian-exim."""
MAX_DOCUMENT = 1024**2
"""Longer texts do not belong on a disk that is read at boot; an image or a download does."""
MAX_FILES = 16 * MAX_DOCUMENT
OWN_META = {"instance-id": "", "local-hostname": "; say it with hostname"}
"""Entries of the metadata that are ours, and what to say in place of them."""
_VERSION = re.compile(r"""(^|[{,])\s*["']?version["']?\s*:""", re.MULTILINE)
_DISABLED = re.compile(r"""(^|[{,])\s*["']?config["']?\s*:\s*["']?disabled\b""", re.MULTILINE)
"""In place of a version: cloud-init leaves the network alone."""


def _user_name(text: str) -> str:
    if _LOGIN.fullmatch(text) is None:
        raise ValueError(f'"{shortened(text)}" is not a user name: lower-case letters, digits, _ and -')
    return text


def _ssh_key(text: str) -> str:
    if re.fullmatch(r"[a-z0-9@.-]+ [A-Za-z0-9+/=]{16,}( [^\r\n]*)?", text.strip(), re.ASCII) is None:
        raise ValueError('is not a public SSH key; it looks like "ssh-ed25519 AAAA… name"')
    return text


def _package(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+:_=~-]{0,254}", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is not the name of a package')
    return text


def _permissions(text: str) -> str:
    if re.fullmatch(r"[0-7]{3,4}", text, re.ASCII) is None:
        raise ValueError(f'"{shortened(text)}" is no file mode; write it in octal, like "0644"')
    return text


def _group(text: str) -> str:
    if _ACCOUNT.fullmatch(text) is None:
        raise ValueError(f'"{shortened(text)}" is not the name of a group: letters, digits, _ . and -')
    return text


def _password(text: str) -> str:
    if not text:
        raise ValueError("must not be empty; leave it out for a login by keys alone")
    if any(ord(one) < 0x20 or ord(one) == 0x7F for one in text):
        raise ValueError("has control characters, which no password can have")
    return _content(text)


def _owner(text: str) -> str:
    if not all(_ACCOUNT.fullmatch(part) for part in text.split(":")) or text.count(":") > 1:
        raise ValueError(f'"{shortened(text)}" is not an owner; write it like "www-data" or "www-data:adm"')
    return text


def _document(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return _content(text)


def _content(text: str) -> str:
    # The text may be secret: the sentences quote nothing of it.
    if len(text) > MAX_DOCUMENT:
        raise ValueError(f"is {len(text)} characters long; at most {MAX_DOCUMENT} are allowed")
    if any(0xD800 <= ord(one) < 0xE000 for one in text):
        raise ValueError("holds half of a surrogate pair, which no encoding can carry")
    return text


def _user_data(text: str) -> str:
    _document(text)
    plain = userdata.plain(text)
    if not userdata.is_known(plain):
        raise ValueError(
            'begins with no line that cloud-init knows, like "#cloud-config" or "#!/bin/sh"; the guest would ignore it'
        )
    if plain.lstrip().split("\n", 1)[0].split() == ["#cloud-config"]:
        _refuse_other_yaml(plain)
    return text


def _refuse_other_yaml(text: str) -> None:
    """Raise ValueError for YAML that is broken or no mapping: cloud-init in the guest would only warn and go on.

    The text is parsed and no tree made of it, for that of a deeply nested one ends the process (tried, PyYAML 6.0).
    """
    import yaml  # late: who gives no YAML need not wait for it

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        first = [event for event in yaml.parse(text, Loader=loader) if not isinstance(event, yaml.StreamStartEvent)][:2]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"is not YAML{f', in line {mark.line + 1}' if mark else ''}") from None
    if len(first) == 2 and not isinstance(first[1], yaml.MappingStartEvent) and not _is_nothing(first[1]):
        raise ValueError('is no mapping in YAML: it has to be lines like "key: value"')


def _is_nothing(event: Any) -> bool:
    return getattr(event, "value", None) == "" and event.implicit[0]


def _network_config(given: str) -> str:
    text = userdata.without_mark(given)
    if _VERSION.search(text) is None and _DISABLED.search(text) is None:
        raise ValueError('has no "version:"; it begins like "version: 2" and goes on with "ethernets:"')
    _document(text)
    _refuse_other_yaml(text)
    return given


SshKey = Annotated[str, AfterValidator(_ssh_key)]


class User(Spec):
    """A login that cloud-init makes."""

    name: Annotated[str, AfterValidator(_user_name), Field(description="The user's name.")]
    ssh_keys: Annotated[list[SshKey], Field(description="Public SSH keys that may log in.")] = []
    password: Annotated[
        Secret[Annotated[str, AfterValidator(_password)]] | None,
        Field(description="A password; without one only keys log in."),
    ] = None
    sudo: Annotated[bool, Field(description="Whether the user may become root without a password.")] = False
    groups: Annotated[
        list[Annotated[str, AfterValidator(_group)]], Field(description="Further groups of the user.")
    ] = []
    shell: Annotated[GuestFile | None, Field(description="The login shell in the guest.")] = None


class File(Spec):
    """A file that cloud-init writes in the guest."""

    key: ClassVar[str] = "path"

    path: Annotated[
        GuestFile,
        Field(description="Its path in the guest; folders that are missing are made."),
    ]
    content: Annotated[
        Secret[Annotated[str, AfterValidator(_content)]],
        Field(description="Its text, of any characters, as it is to stand in the file."),
    ]
    permissions: Annotated[
        Annotated[str, AfterValidator(_permissions)],
        Same(lambda text: int(text, 8)),
        Field(description="Its mode, in octal."),
    ] = "0644"
    owner: Annotated[
        Annotated[str, AfterValidator(_owner)] | None,
        Field(description="Its owner, user or user:group; root when left out."),
    ] = None


class CloudInit(Spec):
    """What the guest is told at its first boot, on a small read-only disk in the pool (NoCloud)."""

    hostname: Annotated[
        HostName | None,
        Field(description="The guest's host name; by default the instance's name."),
    ] = None
    users: Annotated[list[User], Field(description="Users to make.")] = []
    ssh_keys: Annotated[list[SshKey], Field(description="Public SSH keys for the image's own default user.")] = []
    packages: Annotated[
        list[Annotated[str, AfterValidator(_package)]],
        Field(description="Packages to install, by the names of the guest's distribution."),
    ] = []
    files: Annotated[list[File], Field(description="Files to write.")] = []
    run_commands: Annotated[
        Secret[list[Annotated[str, AfterValidator(_document)]]] | None,
        Field(description="Commands to run at the end of the first boot, each a line or a script for the shell."),
    ] = None
    user_data: Annotated[
        Secret[Annotated[str, AfterValidator(_user_data)]] | None,
        Field(
            description="Raw user data in place of the typed properties: a #cloud-config document, a script, or "
            "several in MIME. Also in base64, as gzip has to be (base64gzip in HCL)."
        ),
    ] = None
    network_config: Annotated[
        Secret[Annotated[str, AfterValidator(_network_config)]] | None,
        Field(
            description="The guest's network configuration as cloud-init takes it (version 1 or 2, in YAML); "
            "without one every card asks for an address by DHCP, and with `config: disabled` the image's own holds."
        ),
    ] = None
    vendor_data: Annotated[
        Secret[Annotated[str, AfterValidator(_user_data)]] | None,
        Field(
            description="What the house tells every guest, in the forms of userData. It stands beside the user's own, "
            "which wins where both say the same."
        ),
    ] = None
    meta_data: Annotated[
        dict[str, str],
        Field(
            description="Further entries of the metadata, which templates in the user data read as "
            "`{{ ds.meta_data.NAME }}`. They are no secret."
        ),
    ] = {}
    on_change: Annotated[
        Literal["nextBoot", "replace", "ignore"],
        Later(),
        Field(
            description="What a change does to an existing instance. nextBoot: the data is rewritten and seen at the "
            "next boot, where most of cloud-init's modules have run already. replace: a new instance. ignore: nothing."
        ),
    ] = "nextBoot"

    def rules(self) -> Iterator[Rule]:
        yield from repeated(("users",), self.users, "name")
        yield from repeated(("files",), self.files, "path", whole=True)
        files = self.files if isinstance(self.files, list) else []
        length = sum(
            len(text) for file in files if isinstance(file, File) and isinstance(text := reveal(file.content), str)
        )
        if length > MAX_FILES:
            yield ("files",), f"are {length} characters long together; at most {MAX_FILES} are allowed"
        yield from self._meta_rules()
        if not surely(self.user_data):
            return
        typed = {
            "users": self.users, "sshKeys": self.ssh_keys, "packages": self.packages, "files": self.files,
            "runCommands": self.run_commands,
        }  # fmt: skip
        for name, given in typed.items():
            if surely(reveal(given)):
                yield (name,), "cannot stand beside userData; put it into the user data"

    def _meta_rules(self) -> Iterator[Rule]:
        for name, text in (self.meta_data if isinstance(self.meta_data, dict) else {}).items():
            if name in OWN_META:
                yield ("metaData", name), f"is written by JVP{OWN_META[name]}"
            elif not name or not name.isprintable():
                yield ("metaData",), f'"{shortened(name)}" cannot name an entry of the metadata'
            elif isinstance(text, str) and len(text) > MAX_DOCUMENT:
                yield ("metaData", name), f"is {len(text)} characters long; at most {MAX_DOCUMENT} are allowed"


def repeated(path: Path, items: Any, attribute: str, *, whole: bool = False, within: str = "") -> Iterator[Rule]:
    """Items of a list that say the same of `attribute`; the case of letters counts only with `whole`.

    `within` names an attribute by which they are kept apart: what is not known yet may keep them apart, too.
    """
    seen: set[tuple[object, str]] = set()
    for index, item in enumerate(items if isinstance(items, list) else ()):
        text = getattr(item, attribute, None)
        if not isinstance(text, str):
            continue
        place = getattr(item, within, None) if within else None
        if not known(place):
            continue
        key = place, text if whole else text.lower()
        if key in seen:
            yield (*path, index, attribute), f'"{getattr(item, attribute)}" is given twice'
        seen.add(key)
