"""What is wanted of each link, and what kind of media that is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Until now everything was what the preset `video` gives.
    op.add_column("jobs", sa.Column("preset", sa.Text, server_default="video", nullable=False))
    op.add_column("jobs", sa.Column("kind", sa.Text, server_default="video", nullable=False))
