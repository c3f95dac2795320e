"""What Alembic runs to migrate: on the connection that it is handed, inside the transaction open there."""

from __future__ import annotations

from alembic import context

from downloader.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite has it too, once the driver leaves transactions alone (`store.database`)
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite changes a column only by copying its table
)
with context.begin_transaction():
    context.run_migrations()
