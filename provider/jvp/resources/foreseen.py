"""Steps of a create that only look at the node, taken by a plan: what they find, or what they would raise."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

from jvp.core.errors import JvpError, Path, Unreachable
from jvp.core.outlook import Plans
from jvp.core.values import known
from jvp.libvirt.link import handles
from jvp.libvirt.link.errors import libvirt_errors
from jvp.libvirt.link.node import Node
from jvp.libvirt.storage import lookup

T = TypeVar("T")


def attempt(what: str, step: Callable[[], T]) -> Generator[JvpError, None, T | None]:
    """What the step gives; its error is yielded, and None given. Raises Unreachable: no other step has an answer."""
    try:
        with libvirt_errors(what):
            return step()
    except Unreachable:
        raise
    except JvpError as error:
        yield error
    return None


def obstacles(what: str, *steps: Callable[[], Any]) -> Iterator[JvpError]:
    """The errors of all the steps."""
    for step in steps:
        yield from attempt(what, step)


def pool_of(node: Node, what: str, reference: Any, path: Path) -> Generator[JvpError, None, handles.StoragePool | None]:
    """The storage pool of a reference; None for one that is not known yet or not made yet, and for a wrong one."""
    if not is_there(node.plans, reference, "storage pool"):
        return None
    return (yield from attempt(what, lambda: lookup.active_pool_of(node, reference, path)))


def is_there(plans: Plans, reference: Any, *kinds: str) -> bool:
    """Whether what a reference means has to be on the node by now: it is known, and this program does not make it.

    What is in a storage pool that is about to be made (`pool/name`) is not there either.
    """
    if not isinstance(reference, str) or not known(reference):
        return False
    pool = reference.rpartition("/")[0]
    return not any(plans.makes(kind, reference) for kind in kinds) and not (pool and plans.makes("storage pool", pool))
