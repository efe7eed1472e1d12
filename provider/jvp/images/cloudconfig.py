"""The user data that JVP writes when the user gives properties instead of text.

All of it is secret: passwords and file contents are in it.
Source: cloud-init, reference/modules; the keys are those of 22.4 (Debian 12) and later.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

from jvp.images.seed import yaml


class User(TypedDict):
    """A login on the guest."""

    name: str
    sshKeys: NotRequired[Sequence[str]]
    password: NotRequired[str | None]
    """In plain text; without one, the password is locked and keys are the way in."""
    sudo: NotRequired[bool | str | None]
    """True: anything without a password; text: a sudoers rule."""
    groups: NotRequired[Sequence[str]]
    shell: NotRequired[str | None]


class File(TypedDict):
    """A file on the guest."""

    path: str
    content: str | bytes
    mode: NotRequired[str | None]
    """Octal, as `0600`; cloud-init's default is 0644."""
    owner: NotRequired[str | None]
    """`user:group`; unset is root."""


def cloud_config(
    *,
    hostname: str | None = None,
    fqdn: str | None = None,
    users: Sequence[User] = (),
    ssh_keys: Sequence[str] = (),
    packages: Sequence[str] = (),
    files: Sequence[File] = (),
    run: Sequence[str | Sequence[str]] = (),
) -> str:
    """`#cloud-config` text.

    ssh_keys: for the image's own default user, who is kept beside `users` only when they are given.
    run: commands of the first boot, a line for a shell or a list of arguments. Raises Invalid.
    """
    config: dict[str, Any] = {}
    if hostname:
        config["hostname"] = hostname
    if fqdn:
        config["fqdn"] = fqdn
    if ssh_keys:
        config["ssh_authorized_keys"] = list(ssh_keys)
    if users:
        config["users"] = [*(["default"] if ssh_keys else []), *map(_user, users)]
    if packages:
        config["package_update"] = True
        config["packages"] = list(packages)
    if files:
        config["write_files"] = [_file(file) for file in files]
    if run:
        config["runcmd"] = [command if isinstance(command, str) else list(command) for command in run]
    return "#cloud-config\n" + yaml(config)


def _user(user: User) -> dict[str, Any]:
    made: dict[str, Any] = {"name": user["name"]}
    if user.get("sshKeys"):
        made["ssh_authorized_keys"] = list(user["sshKeys"])
    password, sudo = user.get("password"), user.get("sudo")
    made["lock_passwd"] = password is None
    if password is not None:
        made["plain_text_passwd"] = password
    if sudo:
        made["sudo"] = sudo if isinstance(sudo, str) else "ALL=(ALL) NOPASSWD:ALL"
    if user.get("groups"):
        made["groups"] = ", ".join(user["groups"])
    if user.get("shell"):
        made["shell"] = user["shell"]
    return made


def _file(file: File) -> dict[str, Any]:
    made: dict[str, Any] = {"path": file["path"]}
    content = file["content"]
    if isinstance(content, bytes):
        made |= {"encoding": "b64", "content": base64.b64encode(content).decode()}
    else:
        made["content"] = content
    if file.get("mode"):
        made["permissions"] = file["mode"]
    owner = file.get("owner")
    if owner:
        made["owner"] = owner
        made["defer"] = owner.partition(":")[0] != "root"  # users are made after the first files are written
    return made
