"""What can go wrong, in the words of the person who reads it.

    JvpError
    ├── Invalid       the input is wrong; nothing was touched            -> change the program
    ├── NotFound      something that the input names does not exist      -> create it, or name another
    ├── NameTaken     an object that is not ours holds the name          -> take another name, or import it
    ├── Unreachable   the daemon did not answer; the outcome is unknown  -> run again, it converges
    ├── Busy          the object is locked by another operation          -> run again later
    ├── NoSpace       the pool cannot hold it                            -> free space, or another pool
    ├── Rejected      libvirt or QEMU refused, for the reason given      -> as the reason says
    │   ├── Forbidden only an admin may have this done                   -> ask one
    │   ├── OtherHost the object is on another host than the uri's       -> set the uri back
    │   └── Stopped   what it is in does not run, and tells nothing of it -> start that
    │       └── Undefined   nor is it defined any more                   -> make that again
    ├── Cancelled     the engine asked us to stop                        -> run again, it converges
    └── Bug           ours                                               -> report it

A message is one sentence in lower case without a final stop: what, which, why, and what to do.
It never holds a secret: values that came in as secrets are masked by `core.verbs` before a door sees them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jvp.core.identity import Mark

Path = tuple[str | int, ...]
"""Where a value sits: property names as users spell them, and list indices: ("nics", 0, "mac")."""


def dotted(path: Path) -> str:
    """The path as users write it: `nics[0].mac`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class JvpError(Exception):
    """The root of all that we raise on purpose. `path` names the property at fault; empty when none is."""

    def __init__(self, message: str, *, path: Path = ()) -> None:
        super().__init__(message)
        self.path = path

    @property
    def message(self) -> str:
        """The sentence. It stands in `args` alone, so that nothing keeps the text from before it was masked."""
        return str(self.args[0])

    @message.setter
    def message(self, text: str) -> None:
        self.args = (text,)

    def at(self, *prefix: str | int) -> JvpError:
        """Put `prefix` before the path: called on the way out of a nested value. Returns self."""
        self.path = (*prefix, *self.path)
        return self

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message


class Invalid(JvpError):
    """Input that breaks a rule, or several: `others` has the place and the sentence of each further one."""

    def __init__(self, message: str, *, path: Path = (), others: tuple[tuple[Path, str], ...] = ()) -> None:
        super().__init__(message, path=path)
        self.others = others

    def __str__(self) -> str:
        return "; ".join((super().__str__(), *(f"{dotted(path)}: {message}" for path, message in self.others)))


class NotFound(JvpError):
    pass


class NameTaken(JvpError):
    """What has the name is of this `kind` and `name`; `id` is what it can be imported by, empty where it cannot;
    `holder` is its mark, as far as it is one of ours.

    `core.taken` writes the sentence. How to import it says the door, for each engine has its own command.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Path = (),
        kind: str = "",
        name: str = "",
        id: str = "",
        holder: Mark | None = None,
    ) -> None:
        super().__init__(message, path=path)
        self.kind = kind
        self.name = name
        self.id = id
        self.holder = holder


class Unreachable(JvpError):
    """With `lost` the connection went while it was asked: the daemon restarts, or is gone."""

    lost = False


class Busy(JvpError):
    pass


class NoSpace(JvpError):
    pass


class Rejected(JvpError):
    pass


class Forbidden(Rejected):
    pass


class OtherHost(Rejected):
    pass


class Stopped(Rejected):
    pass


class Undefined(Stopped):
    pass


class Cancelled(JvpError):
    pass


class Bug(JvpError):
    pass


def incomplete(why: object) -> Rejected:
    """The error of an installation that lacks something: a module is imported, or a file read, when it is needed."""
    return Rejected(f"this installation of jvp is not complete: {why}; install pulumi-jvp again")
