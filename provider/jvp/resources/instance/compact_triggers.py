"""What a change of `compactTriggers` asks for: the disks give back space, once for each change, whoever died meanwhile.

The mark notes it in the same write as the definition, open, and is closed once it is done: see `restarting`.
"""

from __future__ import annotations

from jvp.core import action
from jvp.core.action import Request
from jvp.core.errors import JvpError
from jvp.libvirt.domain import devices
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.xml import Element
from jvp.resources.instance.update import Draft, Update

TRIGGERS = "compactTriggers"
COMPACT = "compact"
"""A fact of the mark: a digest of the triggers that were declared last, and "open" until that is done."""
_OPEN = "open"


def note(update: Update, root: Element) -> None:
    """Note in the new definition what its triggers ask for. Before: what is declared is noted, so there is a mark."""
    declared, noted = update.work.declaration, _noted(root)
    triggers = declared.digests.get(TRIGGERS) if declared is not None else None
    if triggers is None:
        marks.set_fact(root, COMPACT, "")  # the same ones that come again are another change
        return
    id = action.digest(TRIGGERS, triggers)
    if TRIGGERS in update.changed() and (noted is None or noted.id != id):
        marks.set_fact(root, COMPACT, action.text_of([Request(id, _OPEN)]))


def settle(update: Update, draft: Draft) -> None:
    """Do what the definition has open, and note that it is done. Raises Rejected where its guest cannot; Busy,
    Cancelled, libvirtError. Before: all else of the update is done. Again: yes.
    """
    noted = _noted(draft.root)
    domain = update.api.find(update.uuid) if noted is not None and noted.since else None
    if noted is None or domain is None:
        return
    from jvp.resources.storage import compacting  # which reads images

    try:
        compacting.compact_instance(update.work, update.node, domain, None)
    except JvpError as error:
        error.path = (TRIGGERS,)
        raise
    root = devices.inactive_xml(domain)
    marks.set_fact(root, COMPACT, action.text_of([Request(noted.id)]))
    update.api.define(root)


def left(domain: handles.Domain, root: Element) -> str | None:
    """That it was cut off and an update has to go on with it, in a sentence; None where it was not."""
    noted = _noted(root)
    return f"{TRIGGERS}: the disks are not compacted yet; an update does it" if noted and noted.since else None


def _noted(root: Element) -> Request | None:
    found = action.noted(marks.facts_of(root).get(COMPACT, ""))
    return found[-1] if found else None
