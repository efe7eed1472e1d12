"""Objects by id or name, for who keeps no state: what is there, a plan, an apply, a delete, an action.

What an engine's state would tell the object's own mark tells: who declares it, what was declared last, and the settings
that act later. So a document that is applied again changes nothing, and what is taken out of it goes back to its
default. What another door declares, or nobody of ours made, is changed or deleted by force alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from jvp.core import audit, recall
from jvp.core.abandon import leavable
from jvp.core.action import AnyAction
from jvp.core.again import asked_again
from jvp.core.audit import Sink
from jvp.core.bags import Given
from jvp.core.check import Checked
from jvp.core.declaration import Noted
from jvp.core.diff import Change
from jvp.core.errors import Invalid, NotFound, Rejected, dotted
from jvp.core.facts import Effect
from jvp.core.handler import AnyFunction, AnyHandler
from jvp.core.identity import DeclaredBy, Key, borne
from jvp.core.listing import token_of
from jvp.core.model import load
from jvp.core.outlook import Asked, Outlook
from jvp.core.ownership import holder
from jvp.core.recall import Document
from jvp.core.stored import Result, Stored
from jvp.core.taken import name_taken
from jvp.core.values import Bag
from jvp.core.verbs import Verbs, refuse_id
from jvp.core.words import listed
from jvp.core.work import Work

OWNER = "jvp"
"""Who owns what is declared without an engine, unless the settings say another."""


@dataclass(frozen=True)
class Found:
    """One object as it is."""

    id: str
    state: Bag
    inputs: Bag
    """What a document of it would declare: applied, it changes nothing."""
    declared_by: DeclaredBy | None
    """None of what nobody of ours made, and of what an older version noted nothing."""
    holder: str | None
    """Who has it, in words, where that is not this owner: then a change takes force."""


@dataclass(frozen=True)
class Planned:
    """What an apply would do. Its warnings went through `work.warn`, as those of an engine's preview do."""

    id: str | None
    """Of the object that is there; None of one that would be made."""
    changes: tuple[Change, ...]
    state: Bag = field(repr=False)
    """As it would be, UNKNOWN where only the host will tell."""
    holder: str | None = None
    """As in `Found`."""
    unfinished: tuple[str, ...] = ()
    """What an apply goes on with though nothing differs, in sentences."""

    @property
    def replaces(self) -> bool:
        """Whether it could only be made anew, which an apply refuses."""
        return any(change.effect is Effect.REPLACE for change in self.changes)


@dataclass(frozen=True)
class Applied(Result):
    """The outcome of an apply."""

    created: bool = False
    changes: tuple[Change, ...] = ()
    """What it changed in an object that was there."""


@dataclass(frozen=True)
class _There:
    """An object that is there, and what its mark says."""

    id: str
    noted: Noted
    known: Stored


class Objects(Verbs):
    """The objects of one node, for doors without an engine. Safe to use from many threads."""

    def __init__(
        self,
        handlers: Mapping[str, AnyHandler],
        functions: Mapping[str, AnyFunction],
        host: Callable[[], str] = lambda: "",
        outlook: Outlook | None = None,
        actions: Mapping[str, AnyAction] | None = None,
        audit: Sink | None = None,
        *,
        owner: str = OWNER,
    ) -> None:
        super().__init__(handlers, functions, host, outlook, actions, audit)
        self.owner = owner

    @leavable
    @asked_again
    def get(self, token: str, reference: str, work: Work) -> Found | None:
        """An object of anybody by id or name; None when it has just gone. Writes nothing.

        Raises NotFound with the names that exist.
        """
        handler = self.handlers[token]
        with self._guarded(work=work) as work:
            there = self._there(handler, reference, work)
            if there is None:
                return None
            mark = there.noted.mark
            by, inputs = mark.declared_by if mark is not None else None, recall.exported(handler.spec, there.known)
            return Found(there.id, there.known.state, inputs, by, holder(mark, self.owner))

    @leavable
    def list(self, token: str, filters: Bag, work: Work) -> list[Bag]:
        """The objects of a kind that the filters take, by name: one look at all. Raises Invalid for wrong filters."""
        found, failures = self.invoke(token_of(token), filters, work)
        for failure in failures:
            raise Invalid(failure.message, path=failure.path)
        (items,) = (found or {}).values()
        return list(items)

    @leavable
    def plan(self, token: str, reference: str | None, properties: Given, work: Work) -> Planned:
        """What an apply of these properties would do: to the object of the reference, or of the declared name.

        Writes nothing. Raises Invalid for properties that break a rule.
        """
        handler, document = self.handlers[token], Document.of(self.handlers[token], properties)
        checked = document.checked
        with self._guarded(checked.inputs, work=work) as work:
            there = self._declared(handler, reference, document, work)
            if there is None:
                asked = Asked(lambda: self._key(handler, checked, DeclaredBy("")))
                return Planned(None, (), self.preview_create(token, checked, work, asked))
            plan = self._planned(handler, there.known, checked, work)
            state = self._foreseen(handler, there.known, checked, work, plan, defaults=True)
            return Planned(there.id, plan.changes, state, holder(there.noted.mark, self.owner), there.known.unfinished)

    def apply(
        self,
        token: str,
        properties: Given,
        work: Work,
        *,
        by: DeclaredBy,
        force: bool = False,
        adopt: bool = False,
        reference: str | None = None,
        new: bool = False,
    ) -> Applied:
        """Make or change the object of the declared name, or change that of the reference. Never a replacement.

        With `new` it is made alone: raises NameTaken for what is there. Raises Rejected where only a new object could
        be as declared, and for what others have without `force`; by force its values change, and who declares it does
        not. With `adopt` what nobody of ours made is declared here from now on, whole. Again: yes, with the same
        properties.
        """

        def apply(work: Work) -> Applied:
            return self._applied(token, properties, work, by, reference, force=force, adopt=adopt, new=new)

        about = partial(self._about, "apply", self.handlers[token], properties, name=reference or "")
        return self._change(about, work, apply)

    def _applied(
        self,
        token: str,
        properties: Given,
        work: Work,
        by: DeclaredBy,
        reference: str | None,
        *,
        force: bool,
        adopt: bool,
        new: bool,
    ) -> Applied:
        handler, document = self.handlers[token], Document.of(self.handlers[token], properties)
        with self._guarded(document.checked.inputs, work=work) as work:
            key = self._key(handler, document.checked, by)
            there = self._declared(handler, reference, document, work)
            if there is None:
                return self._made(handler, key, document.checked, work)
            if new:
                name = there.known.state["name"]
                raise name_taken(handler.kind, name, id=there.id, holder=there.noted.mark)
            who = holder(there.noted.mark, self.owner)
            if adopt and there.noted.mark is None:
                who, there = None, replace(there, known=replace(there.known, private={}))
            if who is not None and not force:
                raise _refused(handler, there.known.state["name"], who, "changed")
            if who is not None and (mark := there.noted.mark) is not None and not mark.acknowledged:
                # To change it would tell its engine, whose create was cut off, that a state has it.
                raise Rejected(f'{handler.kind} "{there.known.state["name"]}" is {who}, whose run is not over')
            return self._changed(handler, there, document, work, key if who is None else None)

    def delete(
        self, token: str, reference: str, work: Work, *, force: bool = False, options: Bag | None = None
    ) -> None:
        """Remove the object of an id or name, as its declaration says or the `options`: `deleteData`, say.

        Raises NotFound with the names that exist; Rejected for what others have or use, without `force`.
        """
        handler = self.handlers[token]
        about = partial(self._about, "delete", handler, options or {}, name=reference)
        self._change(about, work, lambda work: self._removed(handler, reference, work, options or {}, force=force))

    def _removed(self, handler: AnyHandler, reference: str, work: Work, options: Bag, *, force: bool) -> None:
        with self._guarded(options, work=work) as work:
            there = self._there(handler, reference, work)
            if there is None:
                return
            who = holder(there.noted.mark, self.owner)
            if who is not None and not force:
                raise _refused(handler, there.known.state["name"], who, "deleted")
            known = recall.with_options(handler, there.known, options)
            if not force and (users := handler.users(work, there.id)):
                name = there.known.state["name"]
                raise Rejected(f'{handler.kind} "{name}" is used by {listed(users)}, and is not deleted without force')
            with self._going.leaves(handler.token, known.id):
                self._delete(handler, known, work)

    @leavable
    def users(self, token: str, object_id: str, work: Work) -> tuple[str, ...]:
        """The instances that a delete by force takes it from, by name. Writes nothing."""
        with self._guarded(work=work) as work:
            return (*self.handlers[token].users(work, object_id),)

    def _refuse_others(self, handler: AnyHandler, work: Work, object_id: str, reference: str) -> None:
        noted = handler.noted(work, object_id)
        if noted is None:
            raise NotFound(f'{handler.kind} "{reference}" is gone')
        if (who := holder(noted.mark, self.owner)) is not None:
            raise _refused(handler, reference, who, "acted on")

    def _key(self, handler: AnyHandler, checked: Checked[Any], by: DeclaredBy) -> Key:
        if checked.inputs.get("name") is None:
            raise Invalid("is required: without an engine the name tells one object from another", path=("name",))
        place = handler.place(checked.inputs)
        by = DeclaredBy.of(by.door, by.label, by.address or f"{handler.kind} {place}")
        return Key(self.owner, handler.token, f"{self.host()}/{place}", str(checked.inputs["name"]), by)

    def _declared(self, handler: AnyHandler, reference: str | None, document: Document, work: Work) -> _There | None:
        """The object that a declaration is about; None where it is to be made, or goes on being made."""
        if reference is not None:
            there = self._there(handler, reference, work, document)
            if there is None:
                raise NotFound(f'{handler.kind} "{reference}" is gone')
            return there
        checked = document.checked
        key = self._key(handler, checked, DeclaredBy(""))
        try:
            found = self._there(handler, handler.place(checked.inputs), work, document)
        except NotFound:  # also what it is in: the create says so with the property's path
            return None
        if found is None or found.known.state["name"] != checked.inputs["name"]:  # a name may look like another's id
            return None
        mark = found.noted.mark
        return None if mark is not None and mark.of(key) and not mark.acknowledged else found

    def _there(self, handler: AnyHandler, reference: str, work: Work, like: Document | None = None) -> _There | None:
        """An object of anybody, spelled `like` a declaration where that means the same; None when it has just gone."""
        refuse_id(reference)
        object_id = handler.find(work, reference)
        noted = handler.noted(work, object_id)
        if noted is None:
            return None
        ours = holder(noted.mark, self.owner) is None
        known = recall.read(handler, object_id, noted, work, ours=ours, like=like)
        if known is None:
            return None
        audit.learn(work, id=object_id, name=str(known.state["name"]))
        return _There(object_id, noted, known)

    def _made(self, handler: AnyHandler, key: Key, checked: Checked[Any], work: Work) -> Applied:
        made = self._create(handler, key, checked, work).stored
        if not made.unfinished:  # else the next apply goes on with the create, as long as nobody has it
            prior = load(handler.state, made.state)
            handler.read(replace(work, mark=borne(made.id, made.private, key)), made.id, prior)
        return Applied(made, created=True)

    def _changed(self, handler: AnyHandler, there: _There, document: Document, work: Work, key: Key | None) -> Applied:
        """Change what is there. Without a key who declares it stays."""
        checked = document.checked
        plan = self._plan(handler, there.known, checked, work, looks=True)
        if what := ", ".join(dotted(change.path) for change in plan.changes if change.effect is Effect.REPLACE):
            name = there.known.state["name"]
            raise Rejected(
                f'{handler.kind} "{name}" would have to be made anew to change in {what}, which is not done unasked; '
                "delete it first, or declare what it has"
            )
        new = recall.declaring(handler.spec, there.noted, plan.wanted, document, _identity(there, key))
        noted = key is None or recall.is_noted(handler.spec, there.noted, new, plan.wanted.whole)
        if not plan.changes and noted and _is_settled(there, key) and not there.known.unfinished:
            return Applied(there.known)
        work = replace(work, key=key, mark=there.noted.mark)
        result = self._update(handler, there.known, checked, work, new)
        return Applied(result.stored, changes=plan.changes)


def _identity(there: _There, key: Key | None) -> str:
    """What the digests of a declaration are salted by, as an engine's update has it."""
    mark = there.noted.mark
    return (mark.key if mark is not None else "") or (key.digest if key is not None else "") or there.id


def _is_settled(there: _There, key: Key | None) -> bool:
    """Whether the mark needs no word: it says who declares the object, and that somebody has it."""
    mark = there.noted.mark
    return key is None or (mark is not None and mark.acknowledged and mark.declared_by is not None)


def _refused(handler: AnyHandler, name: str, who: str, what: str) -> Rejected:
    return Rejected(f'{handler.kind} "{name}" is {who}, and is not {what} without force')
