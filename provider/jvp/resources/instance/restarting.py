"""The restart that a change of `restartTriggers` asks for: one for each change, whoever died meanwhile.

The mark notes it in the same write as the definition: open, with the run of the guest that is to end. It is closed once
that run is over. Who goes on from a death in between goes by that note. Where an engine died before it saved its state,
it is closed already, and the same triggers restart nothing.
"""

from __future__ import annotations

from jvp.core import action
from jvp.core.action import Request
from jvp.core.declaration import Noted
from jvp.libvirt.domain import devices, guest
from jvp.libvirt.domain.domains import runs
from jvp.libvirt.link import handles, marks
from jvp.libvirt.link.xml import Element
from jvp.resources.instance.model import Instance
from jvp.resources.instance.update import Draft, Update

TRIGGERS = "restartTriggers"
RESTART = "restart"
"""A fact of the mark: a digest of the triggers that were declared last, and the run that is to end while it is open."""


def note(update: Update, root: Element) -> str | None:
    """Note in the new definition what its triggers ask for; the run of the guest that is to end, if any.

    Before: what is declared is noted, so that there is a mark.
    """
    declared, noted = update.work.declaration, _noted(root)
    triggers = declared.digests.get(TRIGGERS) if declared is not None else None
    if triggers is None:
        marks.set_fact(root, RESTART, "")  # the same ones that come again are another change
        return None
    id = action.digest(TRIGGERS, triggers)
    if TRIGGERS in update.changed() and (noted is None or noted.id != id):
        noted = Request(id, _run(update))
        marks.set_fact(root, RESTART, action.text_of([noted]))
    return noted.since if noted is not None else None


def is_due(update: Update, draft: Draft) -> bool:
    """Whether the guest is in that run still. Of one that nobody has run, an earlier try may have ended it."""
    if draft.run is None:
        return False
    domain = update.api.find(update.uuid)
    return domain is not None and (
        str(domain.ID()) == draft.run or (not runs(domain) and update.spec.power_state == "unmanaged")
    )


def close(update: Update, domain: handles.Domain, draft: Draft) -> None:
    """Note that the restart is done. Before: another run of the guest is there, or power as declared will start one."""
    if draft.run is not None:
        root = devices.inactive_xml(domain)
        if (noted := _noted(root)) is not None:
            marks.set_fact(root, RESTART, action.text_of([Request(noted.id)]))
            update.api.define(root)


def left(domain: handles.Domain, root: Element) -> str | None:
    """That a restart was cut off and an update has to go on with it, in a sentence; None where none was."""
    noted = _noted(root)
    if noted is None or noted.since is None:
        return None
    declared = None if runs(domain) else Noted.of(marks.bearer(root), Instance).declaration
    is_off = declared is not None and declared.settings.get("powerState") == "unmanaged"  # else power is drift
    if not is_off and str(domain.ID()) != noted.since:
        return None
    return f"{TRIGGERS}: the guest is not restarted yet; an update does it"


def _run(update: Update) -> str | None:
    """Which run of the guest is to end; None where nothing runs, or it is halted and stays so."""
    domain, wanted = update.api.find(update.uuid), update.spec.power_state
    if domain is None or not runs(domain) or wanted == "stopped":
        return None
    goes_on = guest.state_of(domain) == "running" or (wanted == "running" and guest.stands_still(domain))
    return str(domain.ID()) if goes_on else None


def _noted(root: Element) -> Request | None:
    found = action.noted(marks.facts_of(root).get(RESTART, ""))
    return found[-1] if found else None
