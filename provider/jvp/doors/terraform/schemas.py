"""The calls by which a host asks what there is. They are answered without the models, from what is stored ready-made.

`schema.binpb` is the answer to GetProviderSchema, written by `python -m tools.gen_schemas`, which also says when it is
not what the models give. A host starts a plugin for this question alone, and once more for most others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from jvp.doors.terraform.protocol import Message, message

FILE = Path(__file__).with_name("schema.binpb")
CALLS = ("GetMetadata", "GetProviderSchema", "GetResourceIdentitySchemas", "GetFunctions")
"""The methods below that are of the protocol."""


class Schemas:
    """The answers, over the answer to GetProviderSchema."""

    def __init__(self, make: Callable[[], Message]) -> None:
        self._make = make

    @cached_property
    def whole(self) -> Message:
        """The schemas of everything that is declared."""
        return self._make()

    def GetMetadata(self, request: Message) -> Message:
        answer = message("GetMetadata.Response")(server_capabilities=self.whole.server_capabilities)
        for name in self.whole.resource_schemas:
            answer.resources.add(type_name=name)
        for name in self.whole.data_source_schemas:
            answer.data_sources.add(type_name=name)
        for name in self.whole.functions:
            answer.functions.add(name=name)
        return answer

    def GetProviderSchema(self, request: Message) -> Message:
        return self.whole

    def GetResourceIdentitySchemas(self, request: Message) -> Message:
        return message("GetResourceIdentitySchemas.Response")()

    def GetFunctions(self, request: Message) -> Message:
        return message("GetFunctions.Response")(functions=self.whole.functions)

    def resource(self, name: str) -> Sequence[Message]:
        """The attributes of a resource."""
        return self.whole.resource_schemas[name].block.attributes  # type: ignore[no-any-return]

    def data_source(self, name: str) -> Sequence[Message]:
        """The attributes of a data source."""
        return self.whole.data_source_schemas[name].block.attributes  # type: ignore[no-any-return]


def stored() -> Schemas:
    """Those of everything that JVP can declare. Each call raises Rejected where the installation lacks them."""
    return Schemas(_read)


def _read() -> Message:
    from jvp.core.errors import incomplete  # late, as in `server`

    try:
        return message("GetProviderSchema.Response").FromString(FILE.read_bytes())
    except OSError as error:
        raise incomplete(f"{FILE.name} cannot be read ({error.strerror})") from None
