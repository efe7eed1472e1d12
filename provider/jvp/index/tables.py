"""The tables. Times are seconds since 1970, in UTC; documents are JSON.

A change here needs a migration in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, Index, Integer, MetaData, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Document = JSON().with_variant(JSONB(), "postgresql")


class Base(DeclarativeBase):
    # So that migrations can name what they change.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: Document, dict[str, list[str]]: Document, list[str]: Document, float: Double}


class TokenRow(Base):
    """A token of the REST API. Its text is nowhere, only a hash of it."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    """The first part of the token's text, by which it is found."""
    hash: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(20))
    scope: Mapped[dict[str, list[str]]]
    created: Mapped[float]
    expires: Mapped[float | None]
    once: Mapped[bool]
    """Whether it is taken once alone."""
    used: Mapped[float | None]
    """When it was taken last; written once a minute at most."""


class OperationRow(Base):
    """A change under way, or over. `index.ledger` says how they are used."""

    __tablename__ = "operations"
    __table_args__ = (Index("ix_operations_ended", "ended"), Index("ix_operations_place", "kind", "place"))

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    node: Mapped[str] = mapped_column(String(60))
    """The host that the object is on."""
    kind: Mapped[str] = mapped_column(String(40))
    object: Mapped[str] = mapped_column(Text)
    """The id of the object, where it was there."""
    place: Mapped[str] = mapped_column(String(500))
    """What the object is called."""
    what: Mapped[str] = mapped_column(Text)
    caller: Mapped[str] = mapped_column(String(200))
    by: Mapped[dict[str, Any] | None]
    """The same for the audit."""
    state: Mapped[str] = mapped_column(String(20))
    request: Mapped[str | None] = mapped_column(String(64), unique=True)
    """A digest of the caller's Idempotency-Key."""
    digest: Mapped[str | None] = mapped_column(String(64))
    """One of the request, that only who knows the key can make."""
    server: Mapped[str] = mapped_column(String(36))
    """Which server runs it; empty where one left it."""
    tries: Mapped[int]
    """How often it was begun."""
    started: Mapped[float] = mapped_column(index=True)
    ends: Mapped[float]
    """When its time is over."""
    ended: Mapped[float | None]
    call: Mapped[dict[str, Any] | None]
    """What is needed to run it again; None where that would keep a secret, or cannot be, and of what is over."""
    progress: Mapped[dict[str, Any] | None]
    answer: Mapped[dict[str, Any] | None]
    problem: Mapped[dict[str, Any] | None]


class ServerRow(Base):
    """A server that runs operations, or has."""

    __tablename__ = "servers"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    said: Mapped[float]
    """When it said last that it is there."""


class TurnRow(Base):
    """Who is at an object to which changes are made one after the other."""

    __tablename__ = "turns"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    """A digest."""
    operation: Mapped[str] = mapped_column(String(36))


class AuditRow(Base):
    """One end of a call that may change something, its begin or end. Rows are added; the database refuses the rest."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_at_call", "at", "call"),)

    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    call: Mapped[str] = mapped_column(String(32), index=True)
    """The same at both ends."""
    at: Mapped[float]
    """When the call began, at both ends."""
    who: Mapped[str] = mapped_column(String(200))
    door: Mapped[str] = mapped_column(String(20))
    origin: Mapped[str] = mapped_column(String(200))
    program: Mapped[str] = mapped_column(String(200))
    verb: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(40))
    object_id: Mapped[str] = mapped_column(String(300))
    name: Mapped[str] = mapped_column(String(300))
    properties: Mapped[list[str]]
    """The names of the properties that were given, never their values."""
    changed: Mapped[list[str]]
    """The names of those that differed."""
    outcome: Mapped[str] = mapped_column(String(20))
    detail: Mapped[str] = mapped_column(String(2000))
    """The sentence of an error."""
    seconds: Mapped[float]


class InventoryRow(Base):
    """An object as a list told of it last."""

    __tablename__ = "inventory"
    __table_args__ = (Index("ix_inventory_node_kind", "node", "kind"),)

    node: Mapped[str] = mapped_column(String(60), primary_key=True)
    """Where it is: the host's uuid, and whether it is a user's own daemon there."""
    kind: Mapped[str] = mapped_column(String(40), primary_key=True)
    id: Mapped[str] = mapped_column(String(300), primary_key=True)
    name: Mapped[str] = mapped_column(String(300))
    item: Mapped[dict[str, Any]]
    words: Mapped[str] = mapped_column(Text)
    """What a search goes by, in lower case: name, addresses, tags."""
    seen: Mapped[float]
