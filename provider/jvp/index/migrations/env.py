"""Run the migrations over the connection that `jvp.index.store` gives."""

from alembic import context

from jvp.index.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
