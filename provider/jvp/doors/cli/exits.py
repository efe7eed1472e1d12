"""How a command ends: its exit code by what went wrong, which is one sentence on standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from jvp.core.errors import (
    Bug,
    Busy,
    Cancelled,
    Invalid,
    JvpError,
    NameTaken,
    NoSpace,
    NotFound,
    Rejected,
    Unreachable,
)
from jvp.core.text import sentence

if TYPE_CHECKING:
    from jvp.core.check import Failure

DONE, FAILED, USAGE, NOT_FOUND, REFUSED, UNREACHABLE, PARTIAL, BUSY = range(8)
DEFECT, INTERRUPTED = 70, 130
CODES: dict[int, tuple[str, tuple[type[JvpError], ...]]] = {
    DONE: ("done, or there was nothing to do", ()),
    FAILED: ("anything else; the commands of engines know 0, 1, 2 and 130 alone", ()),
    USAGE: ("the command or a value in it is wrong; nothing was touched", (Invalid,)),
    NOT_FOUND: ("what is named is not there", (NotFound,)),
    REFUSED: ("refused: by whom, and why", (Rejected, NameTaken, NoSpace)),
    UNREACHABLE: ("the node does not answer; what became of the command is not known", (Unreachable,)),
    PARTIAL: (
        "done in part: the object is there, and lacks what the sentences say; a create goes on, run again",
        (),
    ),
    BUSY: ("something else is at it; run again later", (Busy,)),
    DEFECT: ("a defect of jvp", (Bug,)),
    INTERRUPTED: ("interrupted; run again, and it goes on", (Cancelled,)),
}
"""Each code, what it says, and the errors that end with it."""


def invalid(failure: Failure) -> Invalid:
    """The error of what a check found."""
    return Invalid(failure.message, path=failure.path)


def code_of(error: JvpError) -> int:
    """The exit code of an error."""
    return next((code for code, (_, kinds) in CODES.items() if isinstance(error, kinds)), FAILED)


def complain(text: object) -> None:
    """One sentence on standard error."""
    print(f"jvp: {text}", file=sys.stderr)


def ending(command: Callable[[], int]) -> int:
    """What a command returns. An error is said, and is its code then; nobody sees a traceback."""
    try:
        code = command()
        sys.stdout.flush()
        return code
    except JvpError as error:
        complain(sentence(str(error)))
        return code_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who read it has seen enough. What Python would flush at its end goes nowhere.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except UnicodeEncodeError as error:
        complain(f"the terminal cannot show {error.object[error.start : error.end]!a}; set LANG to a UTF-8 locale")
        return FAILED
    except OSError as error:
        complain(sentence(f"{error.filename or 'the output'}: {(error.strerror or str(error)).lower()}"))
        return FAILED
    except Exception as error:
        complain(sentence(f"this is a defect of jvp, please report it: {type(error).__name__}: {error}"))
        return DEFECT
