"""Errors -> diagnostics: what the host prints, with the line of the configuration that the path leads to."""

from __future__ import annotations

import contextlib
import pathlib
import shlex
from collections.abc import Iterable, Iterator, Sequence

from pydantic import BaseModel

from jvp.core import parent
from jvp.core.check import Failure
from jvp.core.errors import (
    Bug,
    Busy,
    Cancelled,
    Forbidden,
    Invalid,
    JvpError,
    NameTaken,
    NoSpace,
    NotFound,
    OtherHost,
    Path,
    Rejected,
    Stopped,
    Undefined,
    Unreachable,
    dotted,
)
from jvp.core.handler import AnyHandler
from jvp.core.identity import Key
from jvp.core.text import sentence as safe
from jvp.doors.terraform.protocol import ERROR, WARNING, AttributePath, Diagnostic, Message
from jvp.doors.terraform.spelling import spoken
from jvp.doors.terraform.values import Key as ListKey
from jvp.doors.terraform.values import attribute_path

TITLES: dict[type[JvpError], str] = {
    Invalid: "Invalid value",
    NotFound: "Not found",
    NameTaken: "Name taken",
    Unreachable: "Host not reachable",
    Busy: "Busy",
    NoSpace: "No space",
    Rejected: "Refused",
    Forbidden: "Refused",
    OtherHost: "Another host",
    Stopped: "Refused",
    Undefined: "Refused",
    Cancelled: "Stopped",
    Bug: "Defect of jvp",
}


def of_error(error: JvpError, model: type[BaseModel] | None = None) -> Message:
    """`error` as a diagnostic; its path is one of `model`."""
    return _diagnostic(ERROR, TITLES.get(type(error), "Error"), error.path, error.message, model)


def importable(error: NameTaken, *, own: bool = False) -> NameTaken:
    """`error` with the command that imports what has the name. The address, which only the host knows, it prints.

    What has our mark, our `own` above all, is imported only when no state has it any more.
    """
    if error.id:
        command = f"{_program()} import ADDRESS {shlex.quote(error.id)}"
        way = ", or import it" if error.holder is None else "; if it is in no state any more, import it"
        way = "; if the state was lost, import it" if own else way
        error.message += f"{way} to the address that stands above: {command}"
    return error


def own(error: NameTaken, name: str) -> None:
    """Say in `error` why there cannot be another where what has the name was made for this very resource."""
    error.message = (
        f'{error.kind} "{name}" is there already, this configuration made it, and a name is there once: '
        "if the resource was given another address, apply again (a moved block would have kept it); leave out "
        "create_before_destroy, for the old one must be deleted first; or give one of two resources another name"
    )


def taken(error: NameTaken, key: Key) -> NameTaken:
    """`error` of a create as the host's users read it, with the command that imports what has the name."""
    is_own = error.holder is not None and error.holder.of(key)
    if is_own:
        own(error, key.label)
    return importable(error, own=is_own)


def title(name: object, line: str, *, plan: bool) -> str:
    """The title of a warning about an object. Of warnings with the same one the host shows the first alone."""
    place = line.partition(": ")[0]
    about = (place if '"' not in place else "", f'"{name}"' if isinstance(name, str) else "")
    return ": ".join(filter(None, ("Before you apply this" if plan else "Note", " of ".join(filter(None, about)))))


def _program() -> str:
    """The command of the host that started us."""
    with contextlib.suppress(OSError):
        name = pathlib.Path(f"/proc/{parent.pid()}/comm").read_text().strip()
        if name == "terraform":
            return name
    return "tofu"


def of_failures(failures: Iterable[Failure], model: type[BaseModel]) -> list[Message]:
    """What a check found."""
    return [_diagnostic(ERROR, TITLES[Invalid], one.path, one.message, model) for one in failures]


def unfinished(handler: AnyHandler, reasons: Sequence[str], *, created: bool) -> list[Message]:
    """An object that exists and is not as declared. One that this apply `created` is tainted by its host."""
    title = f"The {handler.kind} is not finished"
    told = list(reasons)
    if created and told:
        told[-1] += (
            f"; the {handler.kind} stays as it is, but the next apply would replace it: to go on with it instead, run "
            f"{_program()} untaint ADDRESS, with the address that stands above, and apply again"
        )
    return [_diagnostic(ERROR, title, (), reason, handler.spec) for reason in told]


def warning(title: str, sentence: str, model: type[BaseModel] | None = None) -> Message:
    """What a plan or an apply says beside its work."""
    return _diagnostic(WARNING, spoken(title, model), (), sentence, model)


def _diagnostic(severity: int, title: str, path: Path, sentence: str, model: type[BaseModel] | None) -> Message:
    steps = attribute_path(model, path) if model else path
    detail = safe(spoken(f"{dotted(steps)}: {sentence}" if steps else sentence, model))
    found = Diagnostic(severity=severity, summary=title, detail=detail)
    if steps:
        found.attribute.CopyFrom(step_path(_shown(steps)))
    return found


def _shown(steps: Sequence[str | int]) -> Iterator[str | int]:
    """The part of a path by which a host finds the line: an attribute of the block, and one item in it.

    A longer path's last name a host looks up in the block itself: for `disks[0].name` it shows the `name` of the
    instance. And an object's member it finds as the item of a map alone. Source: Terraform,
    `internal/tfdiags/contextual.go`.
    """
    yield from steps[:1]
    for step in steps[1:2]:
        yield step if isinstance(step, int) else ListKey(step)


def step_path(steps: Iterable[str | int]) -> Message:
    """A path of attribute names, indices and keys of maps."""
    path = AttributePath()
    for step in steps:
        if isinstance(step, int):
            path.steps.add(element_key_int=step)
        elif isinstance(step, ListKey):
            path.steps.add(element_key_string=step)
        else:
            path.steps.add(attribute_name=step)
    return path
