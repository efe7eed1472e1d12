"""Operations as the index keeps them: which server runs which, and what became of it.

A server that runs something says so each second. The database's clock tells how long ago that was. What a server ran
that has fallen silent is an orphan, and of those who find it one takes it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, insert, not_, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jvp.index import tokens
from jvp.index.clock import now
from jvp.index.store import Index
from jvp.index.tables import OperationRow, ServerRow, TurnRow

SILENT_S = 10.0
"""A server that has said nothing for so long is taken for dead, unless it says something when it is looked at again."""
KEPT_S, KEPT = 7 * 86_400.0, 5000
"""So long operations that are over are kept, and so many of them."""
KEY_S = 86_400.0
"""So long a key stands for its request."""
LATE_S = 60.0
"""So long after its time an operation of any node is ended by whoever finds it."""
Bag = dict[str, Any]


class Ledger:
    """The operations in an index, for one server. Safe to use from many threads. Raises Unreachable."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.server = str(uuid.uuid4())

    def knows(self, token: str) -> bool:
        """Whether a token is valid still."""
        return tokens.is_valid(self._index, token)

    # One operation

    def add(self, values: Mapping[str, Any], seconds: float) -> OperationRow:
        """Note one that is about to begin. What has the same key already is answered instead."""
        key = values.get("request")
        row = {**values, "state": "running", "server": self.server, "started": now(), "ends": now() + seconds}
        try:
            with self._index.session() as session:
                self._say(session)
                if key is not None:
                    if (before := self._by_key(session, key)) is not None:
                        return before
                    # Of one alone that is kept no more: another server may have noted one since that look.
                    free = update(OperationRow).where(OperationRow.request == key, not_(_is_kept()))
                    session.execute(free.values(request=None))
                session.execute(insert(OperationRow).values(**row))
                noted: OperationRow = session.scalars(_of(values["id"])).one()
                return noted
        except IntegrityError:  # another server was given the same key at the same moment
            before = self.by_key(key) if key is not None else None
            if before is None:
                raise
            return before

    def by_key(self, key: str) -> OperationRow | None:
        """The operation of a request with this key, while it is kept."""
        with self._index.reading() as session:
            return self._by_key(session, key)

    def get(self, id: str) -> OperationRow | None:
        with self._index.reading() as session:
            return session.scalars(_of(id)).one_or_none()

    def cancel(self, id: str) -> None:
        """Have the server that runs it cancel it. One that is over stays as it is."""
        with self._index.session() as session:
            session.execute(
                update(OperationRow)
                .where(OperationRow.id == id, OperationRow.ended.is_(None))
                .values(state="cancelling")
            )

    def end(self, id: str, state: str, *, keeps_key: bool, **values: Any) -> bool:
        """Note the end of one that this server runs; False where another one has taken it."""
        if not keeps_key:
            values["request"] = None
        with self._index.session() as session:
            done = session.execute(self._mine(id).values(state=state, ended=now(), **values))
            return _count(done) == 1

    def release(self, id: str) -> None:
        """Leave one to whoever finds it."""
        with self._index.session() as session:
            session.execute(self._mine(id).values(server="", tries=OperationRow.tries - 1))

    # Many

    def page(
        self,
        wanted: Mapping[str, Collection[str] | None],
        limit: int,
        after: tuple[float, str] | None,
    ) -> list[OperationRow]:
        """The newest first, of those whose columns have one of the values that are wanted."""
        columns = OperationRow.__table__.columns
        chosen = select(OperationRow).where(
            *(columns[name].in_(values) for name, values in wanted.items() if values is not None)
        )
        if after is not None:
            chosen = chosen.where(tuple_(OperationRow.started, OperationRow.id) < tuple_(*after))
        chosen = chosen.order_by(OperationRow.started.desc(), OperationRow.id.desc()).limit(limit)
        with self._index.reading() as session:
            return [*session.scalars(chosen)]

    def over(self, ids: Iterable[str]) -> list[OperationRow]:
        """Those of them that are over."""
        chosen = select(OperationRow).where(OperationRow.id.in_([*ids]), OperationRow.ended.is_not(None))
        with self._index.reading() as session:
            return [*session.scalars(chosen)]

    def say(self, progress: Mapping[str, Bag], running: Collection[str]) -> dict[str, str]:
        """Say that this server is there, and how far what it runs is. The state of each that is still its own."""
        with self._index.session() as session:
            self._say(session)
            for id, document in progress.items():
                session.execute(self._mine(id).values(progress=document))
            chosen = select(OperationRow.id, OperationRow.state)
            mine = OperationRow.id.in_([*running]), OperationRow.server == self.server, OperationRow.ended.is_(None)
            return {row.id: row.state for row in session.execute(chosen.where(*mine))}

    def leave(self) -> None:
        """Say that this server is not there any more."""
        with self._index.session() as session:
            session.execute(delete(ServerRow).where(ServerRow.id == self.server))

    # Orphans

    def orphans(self) -> list[tuple[OperationRow, float | None, bool]]:
        """What no server runs: each with the time when its server said something last, None of one that left; and
        whether its time is long over."""
        chosen = (
            select(OperationRow, ServerRow.said, OperationRow.ends < now() - LATE_S)
            .outerjoin(ServerRow, ServerRow.id == OperationRow.server)
            .where(
                OperationRow.ended.is_(None),
                OperationRow.server != self.server,
                or_(ServerRow.said.is_(None), ServerRow.said < now() - SILENT_S),
            )
        )
        with self._index.reading() as session:
            return [(row, said, bool(is_late)) for row, said, is_late in session.execute(chosen)]

    def take(self, row: OperationRow, node: str) -> float | None:
        """Take an orphan of this node, or one of any whose time is long over: the seconds that it has left.

        None where another server was first.
        """
        with self._index.session() as session:
            self._say(session)
            free = OperationRow.id == row.id, OperationRow.server == row.server, OperationRow.ended.is_(None)
            ours = or_(OperationRow.node == node, OperationRow.ends < now() - LATE_S)
            taken = update(OperationRow).where(*free, ours).values(server=self.server, tries=OperationRow.tries + 1)
            if _count(session.execute(taken)) != 1:
                return None
            left: float = session.execute(
                select(OperationRow.ends - now()).where(OperationRow.id == row.id)
            ).scalar_one()
            return left

    def is_overtaken(self, row: OperationRow) -> bool:
        """Whether a later change of the same object was made, or is."""
        same: ColumnElement[bool] = OperationRow.place == row.place
        if row.object:
            same = or_(same, OperationRow.object == row.object)
        later = tuple_(OperationRow.started, OperationRow.id) > tuple_(row.started, row.id)
        of_it = and_(OperationRow.node == row.node, OperationRow.kind == row.kind, same)
        counts = OperationRow.state.in_(("running", "succeeded"))
        with self._index.reading() as session:
            return bool(row.place and session.scalar(select(exists().where(of_it, later, counts))))

    def clean(self) -> None:
        """Forget what was over long ago, never what runs, nor what a key still stands for."""
        over = OperationRow.ended.is_not(None)
        with self._index.session() as session:
            session.execute(delete(OperationRow).where(over, OperationRow.ended < now() - KEPT_S))
            keyed = OperationRow.request.is_not(None), OperationRow.started >= now() - KEY_S
            many = select(func.count()).select_from(OperationRow).where(over)
            if (session.scalar(many) or 0) > KEPT:
                newest = (
                    select(OperationRow.ended).where(over).order_by(OperationRow.ended.desc()).offset(KEPT - 1).limit(1)
                )
                last = session.scalar(newest)
                session.execute(delete(OperationRow).where(over, OperationRow.ended < last, ~and_(*keyed)))
            session.execute(delete(ServerRow).where(ServerRow.said < now() - KEPT_S))
            held = exists().where(OperationRow.id == TurnRow.operation, OperationRow.ended.is_(None))
            session.execute(delete(TurnRow).where(~held))

    # Turns

    def take_turn(self, name: str, id: str) -> bool:
        """Whether the operation has the turn of this name now: nobody had it, or one that is over."""
        over = ~exists().where(OperationRow.id == TurnRow.operation, OperationRow.ended.is_(None))
        with self._index.session() as session:
            free = update(TurnRow).where(TurnRow.name == name, or_(TurnRow.operation == id, over)).values(operation=id)
            if _count(session.execute(free)) == 1:
                return True
        try:
            with self._index.session() as session:
                session.execute(insert(TurnRow).values(name=name, operation=id))
                return True
        except IntegrityError:
            return False

    def leave_turn(self, name: str, id: str) -> None:
        with self._index.session() as session:
            session.execute(delete(TurnRow).where(TurnRow.name == name, TurnRow.operation == id))

    # What they share

    def _mine(self, id: str) -> Any:
        mine = OperationRow.id == id, OperationRow.server == self.server, OperationRow.ended.is_(None)
        return update(OperationRow).where(*mine)

    def _by_key(self, session: Session, key: str) -> OperationRow | None:
        return session.scalars(select(OperationRow).where(OperationRow.request == key, _is_kept())).one_or_none()

    def _say(self, session: Session) -> None:
        dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
        said = dialect.insert(ServerRow).values(id=self.server, said=now())
        session.execute(said.on_conflict_do_update(index_elements=["id"], set_={"said": said.excluded.said}))


def _is_kept() -> Any:
    """Whether an operation stands for its request."""
    return or_(OperationRow.ended.is_(None), OperationRow.started >= now() - KEY_S)


def _of(id: str) -> Any:
    return select(OperationRow).where(OperationRow.id == id)


def _count(result: Any) -> int:
    return int(result.rowcount)
