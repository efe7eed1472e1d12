"""What the state keeps of a dynamic provider: which class it is, and of which resource.

The engine hands it to a process of `pulumi.dynamic`, which makes the provider of it and calls its verbs. The name of
this module and of the class stand in the users' states: they must stay what they are.
"""

from __future__ import annotations

import base64
import pickle
from typing import TYPE_CHECKING, Any

from pulumi.dynamic import (
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

if TYPE_CHECKING:
    from jvp.doors.dynamic.verbs import Verbs

PROVIDER = "__provider"
"""The input in which `pulumi.dynamic` looks for the pickled provider."""
RESOURCE = "__resource"
"""The input that tells the provider what only the program knows: who the resource is there (`address`, `name`), and
which of its properties are secrets (`secrets`): engines open them for a dynamic provider."""


class Provider(ResourceProvider):
    """The provider of one resource. Pickled, it is its own name and the resource's: no code, no setting, no secret."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token
        self._verbs: Verbs | None = None

    def __reduce__(self) -> tuple[type[Provider], tuple[str]]:
        return Provider, (self.token,)

    def configure(self, req: ConfigureRequest) -> None:
        from jvp.doors.dynamic.engine import gone
        from jvp.doors.dynamic.verbs import Verbs  # late: programs only describe, they need no libvirt

        self._verbs = Verbs(self.token, req.config.get, gone())

    @property
    def verbs(self) -> Verbs:
        assert self._verbs is not None, "pulumi.dynamic configures a provider before it calls it"
        return self._verbs

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        return self.verbs.check(news)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return self.verbs.diff(_id, _olds, _news)

    def create(self, props: dict[str, Any]) -> CreateResult:
        return self.verbs.create(props)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        return self.verbs.read(id_, props)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return self.verbs.update(_id, _olds, _news)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        self.verbs.delete(_id, _props)


def pickled(token: str) -> str:
    """The provider of this resource as `pulumi.dynamic` reads it; always the same text for the same resource."""
    return base64.b64encode(pickle.dumps(Provider(token), protocol=4)).decode("ascii")
