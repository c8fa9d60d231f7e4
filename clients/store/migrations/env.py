"""What alembic runs: it is handed a connection inside a transaction, and leaves the commit to whoever did."""

from alembic import context

from clients.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
