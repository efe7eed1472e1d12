"""Facts of an instance's properties: what each is a part of, and who has a say in its change."""

from __future__ import annotations


class Beside:
    """A fact of a property that is no part of the machine, but says how it is run. With `ends_wait` its change may end
    the wait for a power cycle."""

    def __init__(self, *, ends_wait: bool = False) -> None:
        self.ends_wait = ends_wait


class OfTheGuest:
    """A fact of a property that a running guest has to take or to let go of: trying alone tells whether it does."""


class ByType:
    """A fact of a property of which KVM and emulation can each do what they can."""
