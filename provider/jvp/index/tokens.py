"""Tokens of the REST API: made once, shown once, kept as hashes.

A token is `jvp_<id>_<secret>`. The secret has 256 bits, so a plain hash of it tells nothing and costs no time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from sqlalchemy import delete, select, update
from sqlalchemy.engine import CursorResult

from jvp.core.errors import Invalid, NotFound, Unreachable
from jvp.index.store import Index
from jvp.index.tables import TokenRow

Role = Literal["admin", "operator", "viewer"]
ROLES: tuple[Role, ...] = get_args(Role)
SCOPES = ("nodes", "kinds", "tags")
SUBJECT_MAX = 200
Scope = dict[str, list[str]]
"""What a token is for: `{"kinds": ["Instance"], "nodes": [...], "tags": [...]}`. What is not named is not limited."""
_TEXT = re.compile(r"jvp_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOTED_S = 60.0


@dataclass(frozen=True)
class Token:
    """What a token allows. Its text is not in it."""

    id: str
    subject: str
    role: Role
    scope: Scope = field(default_factory=dict)
    created: float = 0.0
    expires: float | None = None
    once: bool = False
    used: float | None = None

    @property
    def state(self) -> str:
        """Whether it is taken: `valid`, `expired` or `used`."""
        if self.expires is not None and self.expires <= time.time():
            return "expired"
        return "used" if self.once and self.used is not None else "valid"


def create(
    index: Index, subject: str, role: Role, *, scope: Scope | None = None, expires_s: float | None = None,
    once: bool = False,
) -> tuple[Token, str]:  # fmt: skip
    """A new token, and its text, which is told this once alone. Raises Invalid."""
    if not subject or len(subject) > SUBJECT_MAX or not subject.isprintable():
        raise Invalid(f"must be 1 to {SUBJECT_MAX} letters that can be shown", path=("subject",))
    if role not in ROLES:
        raise Invalid(f"must be one of {', '.join(ROLES)}", path=("role",))
    for name in scope or {}:
        if name not in SCOPES:
            raise Invalid(f"must be one of {', '.join(SCOPES)}", path=("scope", name))
    id_, secret, now = secrets.token_hex(6), secrets.token_urlsafe(32), time.time()
    expires = None if expires_s is None else now + expires_s
    token = Token(id_, subject, role, scope or {}, now, expires, once)
    with index.session() as session:
        session.add(TokenRow(**vars(token), hash=_hash(secret)))
    return token, f"jvp_{id_}_{secret}"


def verify(index: Index, text: str, *, once: bool | None = None) -> Token | None:
    """The token of this text; None for what is none, is over, or was taken already.

    `once` tells which kind is asked for: one of the other kind is none, and is not taken.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    id_, secret = match.groups()
    with index.reading() as session:
        row = session.get(TokenRow, id_)
    if row is None or not hmac.compare_digest(row.hash, _hash(secret)):
        return None
    token, now = _token(row), time.time()
    if token.state != "valid" or once not in (None, token.once):
        return None
    if not token.once and token.used is not None and now - token.used < _NOTED_S:
        return token
    using = update(TokenRow).where(TokenRow.id == id_).values(used=now)
    if token.once:  # of two that take it at the same time one finds it taken
        using = using.where(TokenRow.used.is_(None))
    try:
        with index.session() as session:
            # It may have been revoked meanwhile.
            return token if _count(session.execute(using)) == 1 else None
    except Unreachable:
        if token.once:
            raise
        return token  # the disk is full, or another writer does not end: nobody is locked out for a note


def is_valid(index: Index, id_: str) -> bool:
    """Whether a token that was right is so still."""
    with index.reading() as session:
        row = session.get(TokenRow, id_)
    return row is not None and _token(row).state == "valid"


def all_of(index: Index) -> list[Token]:
    """Every token, the newest first."""
    with index.reading() as session:
        return [_token(row) for row in session.scalars(select(TokenRow).order_by(TokenRow.created.desc()))]


def revoke(index: Index, id_: str) -> None:
    """Remove a token. Raises NotFound."""
    with index.session() as session:
        if _count(session.execute(delete(TokenRow).where(TokenRow.id == id_))) == 0:
            raise NotFound(f'there is no token "{id_}"')


def _count(result: object) -> int:
    """How many rows a change met."""
    return cast("CursorResult[object]", result).rowcount


def _token(row: TokenRow) -> Token:
    role = cast(Role, row.role)
    return Token(row.id, row.subject, role, row.scope, row.created, row.expires, row.once, row.used)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
