"""What a batch wants of a second round and when it had it; which jobs it put back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Columns are added, never a table copied: to drop the old copy would, in SQLite, delete all that refers to it.
    op.add_column("batches", sa.Column("retry_failed_once", sa.Boolean, server_default=sa.false(), nullable=False))
    op.add_column("batches", sa.Column("second_round_at", sa.BigInteger))
    op.add_column("batches", sa.Column("second_round_jobs", sa.Integer, server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("last_try", sa.Boolean, server_default=sa.false(), nullable=False))
