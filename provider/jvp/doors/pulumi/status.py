"""Errors -> gRPC statuses, chosen by what the engine makes of them.

The engine shows a status' message as it is. UNKNOWN, INTERNAL and DATA_LOSS make it report the resource's state as
possibly corrupt (`plugin/provider_plugin.go`, resourceStateAndError); UNIMPLEMENTED means an older provider to it.
None of our errors is either: whatever happened, the next run converges.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NoReturn

import grpc

from jvp.core.errors import (
    Busy,
    Cancelled,
    Forbidden,
    Invalid,
    JvpError,
    NameTaken,
    NoSpace,
    NotFound,
    OtherHost,
    Rejected,
    Stopped,
    Undefined,
    Unreachable,
)
from jvp.core.text import sentence
from jvp.core.values import Bag
from jvp.doors.pulumi.protocol import RpcStatus, message
from jvp.doors.pulumi.wire import PRIVATE, encode

if TYPE_CHECKING:
    from jvp.core.stored import Stored

Code = grpc.StatusCode
CODES: dict[type[JvpError], Code] = {
    Invalid: Code.INVALID_ARGUMENT,
    NotFound: Code.NOT_FOUND,
    NameTaken: Code.ALREADY_EXISTS,
    Unreachable: Code.UNAVAILABLE,
    Busy: Code.ABORTED,
    NoSpace: Code.RESOURCE_EXHAUSTED,
    Rejected: Code.FAILED_PRECONDITION,
    Forbidden: Code.PERMISSION_DENIED,
    OtherHost: Code.FAILED_PRECONDITION,
    Stopped: Code.FAILED_PRECONDITION,
    Undefined: Code.FAILED_PRECONDITION,
    Cancelled: Code.CANCELLED,
}
_InitFailed = message("ErrorResourceInitFailed")
_DETAILS = "grpc-status-details-bin"


def taken(error: NameTaken, import_as: tuple[str, str], *, own: bool) -> NameTaken:
    """`error` with the command that imports what has the name, as this type and name.

    `own` says that it was made for this very resource. To replace on request (`--replace`, a taint) the engine asks for
    no diff, and so makes the new one first, unless the program says otherwise (`deploy/step_generator.go`).
    """
    if own:
        error.message = (
            f"the {error.kind} that has it already, with the id {error.id}, was made for this very resource; a forced "
            "replacement (--replace, a taint) needs delete_before_replace=True in the resource's options, for a name "
            "is there once"
        )
    if error.id:
        command = shlex.join(("pulumi", "import", *import_as, error.id))
        # What has our mark is likely to be in a state, of which an import would make a second owner.
        way = ", or import it" if error.holder is None else "; if it is in no state any more, import it"
        error.message += f"{way}: {command}"
    return error


class Unfinished(Exception):
    """The object exists and is not yet as declared: the engine is to update it again next time."""

    def __init__(self, stored: Stored) -> None:
        super().__init__("; ".join(stored.unfinished))
        self.stored = stored


class _Status(grpc.Status):
    """What `abort_with_status` takes."""

    def __init__(self, code: Code, details: str, metadata: tuple[tuple[str, bytes], ...]) -> None:
        self.code = code
        self.details = details
        self.trailing_metadata = metadata


def code_of(error: JvpError) -> Code:
    """The code for an error; what we did not foresee (Bug) is ABORTED."""
    return CODES.get(type(error), Code.ABORTED)


def abort(context: grpc.ServicerContext, error: JvpError) -> NoReturn:
    """End the call with `error`: one sentence, the property's path first."""
    context.abort(code_of(error), sentence(str(error)))
    raise AssertionError("abort returned")


def abort_unfinished(context: grpc.ServicerContext, error: Unfinished, *, refreshes: bool) -> NoReturn:
    """End a create, read or update so that the engine keeps the state that there is."""
    kept = error.stored
    detail = _InitFailed(
        id=kept.id,
        properties=encode(outputs(kept)),
        inputs=encode(kept.inputs),
        reasons=kept.unfinished,
        refresh_before_update=refreshes,
    )
    # The code is overruled by the detail, but both statuses must agree.
    code, text = Code.ABORTED, str(error)
    status = RpcStatus(code=code.value[0], message=text)
    packed = status.details.add()
    packed.type_url = f"type.googleapis.com/{detail.DESCRIPTOR.full_name}"
    packed.value = detail.SerializeToString()
    context.abort_with_status(_Status(code, text, ((_DETAILS, status.SerializeToString()),)))
    raise AssertionError("abort_with_status returned")


def outputs(stored: Stored) -> Bag:
    """What the engine keeps as outputs: the state, and what only we read."""
    return {**stored.state, PRIVATE: stored.private}
