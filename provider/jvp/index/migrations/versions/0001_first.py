"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    _tokens()
    _operations()
    _servers()
    _audit()
    _inventory()


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("scope", _DOCUMENT, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("expires", sa.Double),
        sa.Column("once", sa.Boolean, nullable=False),
        sa.Column("used", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
    )


def _operations() -> None:
    op.create_table(
        "operations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("node", sa.String(60), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("place", sa.String(500), nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("caller", sa.String(200), nullable=False),
        sa.Column("by", _DOCUMENT),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("request", sa.String(64)),
        sa.Column("digest", sa.String(64)),
        sa.Column("server", sa.String(36), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("ends", sa.Double, nullable=False),
        sa.Column("ended", sa.Double),
        sa.Column("call", _DOCUMENT),
        sa.Column("progress", _DOCUMENT),
        sa.Column("answer", _DOCUMENT),
        sa.Column("problem", _DOCUMENT),
        sa.PrimaryKeyConstraint("id", name="pk_operations"),
        sa.UniqueConstraint("request", name="uq_operations_request"),
    )
    op.create_index("ix_operations_started", "operations", ["started"])
    op.create_index("ix_operations_ended", "operations", ["ended"])
    op.create_index("ix_operations_place", "operations", ["kind", "place"])


def _servers() -> None:
    op.create_table(
        "servers",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("said", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_servers"),
    )
    op.create_table(
        "turns",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("operation", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_turns"),
    )


def _audit() -> None:
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "audit",
        sa.Column("number", number, nullable=False, autoincrement=True),
        sa.Column("call", sa.String(32), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("door", sa.String(20), nullable=False),
        sa.Column("origin", sa.String(200), nullable=False),
        sa.Column("program", sa.String(200), nullable=False),
        sa.Column("verb", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("object_id", sa.String(300), nullable=False),
        sa.Column("name", sa.String(300), nullable=False),
        sa.Column("properties", _DOCUMENT, nullable=False),
        sa.Column("changed", _DOCUMENT, nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("detail", sa.String(2000), nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    op.create_index("ix_audit_at_call", "audit", ["at", "call"])
    op.create_index("ix_audit_call", "audit", ["call"])
    for line in _ADDED_TO_ALONE[op.get_bind().dialect.name]:
        op.execute(line)


_REFUSAL = "the audit is only added to"
_ADDED_TO_ALONE = {
    "sqlite": [
        f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$",
        "CREATE TRIGGER audit_added_to_alone BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
    ],
}
"""The database's owner alone can take them away, to remove what is old: docs/audit.md says how."""


def _inventory() -> None:
    op.create_table(
        "inventory",
        sa.Column("node", sa.String(60), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("id", sa.String(300), nullable=False),
        sa.Column("name", sa.String(300), nullable=False),
        sa.Column("item", _DOCUMENT, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("seen", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("node", "kind", "id", name="pk_inventory"),
    )
    op.create_index("ix_inventory_node_kind", "inventory", ["node", "kind"])


def downgrade() -> None:
    for name in ("inventory", "audit", "turns", "servers", "operations", "tokens"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_refuse()")
