"""By which way out each job last went; cooldowns of platforms by way out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("egress", sa.Text, server_default=sa.text("''"), nullable=False))
    op.create_table(
        "cooldowns",
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("egress", sa.Text, nullable=False),
        sa.Column("cap", sa.Float, nullable=False),
        sa.Column("cooling_until", sa.BigInteger),
        sa.Column("strikes", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("platform", "egress", name="pk_cooldowns"),
    )
    # A server without a fleet has one way out, which has no name.
    op.execute(
        "INSERT INTO cooldowns (platform, egress, cap, cooling_until, strikes)"
        " SELECT platform, '', cap, cooling_until, strikes FROM platform_rests"
    )
    op.drop_table("platform_rests")
