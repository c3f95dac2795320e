"""Which post a job is for, so that each is fetched once; what is wanted of it, and what is known about it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("wanted_subtitles", "thumbnails", "subtitles", "subtitles_missing"):
        op.add_column("jobs", sa.Column(name, sa.Text, server_default="[]", nullable=False))
    op.add_column("jobs", sa.Column("folder", sa.Text, server_default=sa.text("''"), nullable=False))
    for name in ("again", "reused"):
        op.add_column("jobs", sa.Column(name, sa.Boolean, server_default=sa.false(), nullable=False))
    op.add_column("jobs", sa.Column("post_key", sa.Text))
    op.add_column("jobs", sa.Column("uploader", sa.Text))
    op.add_column("jobs", sa.Column("uploaded_at", sa.BigInteger))
    op.add_column("jobs", sa.Column("width", sa.Integer))
    op.add_column("jobs", sa.Column("height", sa.Integer))
    op.create_index("ix_jobs_post_key", "jobs", ["post_key", "state"])
