"""Which collection a job is an entry of; how a collection is taken apart, and how far it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("parent_id", sa.Text))
    op.add_column("jobs", sa.Column("expand", sa.Text))
    op.add_column("jobs", sa.Column("listed", sa.Integer, server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("found", sa.Integer))
    entries = sa.text("parent_id IS NOT NULL")
    columns = ["parent_id", "state", "seq"]
    op.create_index("ix_jobs_parent", "jobs", columns, sqlite_where=entries, postgresql_where=entries)
