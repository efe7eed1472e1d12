"""What is known of a property beside its type: how a change takes effect, who sets it, what equals what.

Facts stand in `Annotated[...]` of a model's field. A field without `Changes` changes live.

They are plain classes: making dataclasses of them would take a twentieth of what a plugin's first resource waits for.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any


class Effect(enum.IntEnum):
    """How a change reaches the object, the gentlest first."""

    LIVE = 0
    NEXT_BOOT = 1
    NETWORK_RESTART = 2
    POWER_OFF = 3
    REPLACE = 4

    @property
    def words(self) -> str:
        return self.name.lower().replace("_", " ")

    @property
    def consequence(self) -> str | None:
        """What a plan says of a change of this class; None where an engine's own display says it."""
        return {
            Effect.NEXT_BOOT: "takes effect at the next power cycle",
            Effect.NETWORK_RESTART: "restarts the network; only guests that jvp manages are plugged in again",
            Effect.POWER_OFF: "shuts the guest down and starts it again",
        }.get(self)


class Changes:
    """A change of this property takes effect like this (the handler may know better for one object)."""

    def __init__(self, effect: Effect) -> None:
        self.effect = effect


class Same:
    """Two spellings with the same canonical form mean the same: `2GiB` and `2048MiB`."""

    def __init__(self, canonical: Callable[[Any], object]) -> None:
        self.canonical = canonical


class Computed:
    """Chosen by us when the user sets nothing; what was chosen then stays."""


class Derived:
    """Follows from other properties, whatever the user sets."""


class Deprecated:
    """A later version will not have this property. `instead` is a sentence: what to do in its place."""

    def __init__(self, instead: str) -> None:
        self.instead = instead


class WriteOnly:
    """Cannot be read back from the host: the state keeps what was written."""


class Later:
    """Acts at a later time, and stands nowhere on the host: the object's own mark keeps it.

    With `words` it is only these values that no read can tell.
    """

    def __init__(self, *words: str) -> None:
        self.words = words

    def keeps(self, value: object) -> bool:
        """Whether the mark keeps this value."""
        return not self.words or value in self.words


class LocalFile:
    """Names a file of the machine where the provider runs, which is not that of every caller."""


class Uploaded:
    """Names an image that was uploaded, by its checksum; the door that took it takes its id, too."""


class ForAdmins:
    """Reaches beyond the object into its node: `what` it does, like "names a path of the node".

    Whoever may not do everything there sets no such thing. With `when` it is so of these values alone.
    """

    def __init__(self, what: str, when: Callable[[str], bool] | None = None) -> None:
        self.what, self._when = what, when

    @property
    def always(self) -> bool:
        """Whether it is so of every value."""
        return self._when is None

    def takes(self, value: object) -> bool:
        """Whether this value is one for admins."""
        return self._when is None or (isinstance(value, str) and self._when(value))


class Sensitive:
    """Always a secret, whoever set it."""


class Output:
    """Only an output. `follows` names the properties whose change may change it; others keep it known."""

    def __init__(self, follows: tuple[str, ...] = ()) -> None:
        self.follows = follows


class Sentences:
    """A list of texts that name properties, which a door writes as its users do."""


class Unit:
    """The unit of a number or the form of a string, for the schema and the docs."""

    def __init__(self, text: str) -> None:
        self.text = text


class At:
    """Where the value sits in the object's XML, from its root: `forward/@mode`, `mtu/@size`, `name`."""

    def __init__(self, path: str) -> None:
        self.path = path
