"""Batches, jobs, attempts, files, events, and what is remembered of platforms and of the queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.BigInteger  # microseconds since 1970
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _create_batches()
    _create_jobs()
    _create_links()
    _create_attempts()
    _create_files()
    _create_events()
    _create_platform_rests()
    _create_numbers()


def _create_batches() -> None:
    op.create_table(
        "batches",
        sa.Column("seq", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_batches"),
        sa.UniqueConstraint("id", name="uq_batches_id"),
        sa.UniqueConstraint("idempotency_key", name="uq_batches_idempotency_key"),
        sqlite_autoincrement=True,
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("seq", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("batch_id", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("link", sa.Text),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("finished_at", TIME),
        sa.Column("next_attempt_at", TIME),
        sa.Column("error_code", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("media_id", sa.Text),
        sa.Column("title", sa.Text),
        sa.Column("duration_seconds", sa.Float),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("elapsed_seconds", sa.Float, nullable=False),
        sa.Column("search", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_jobs"),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_jobs_batch_id", ondelete="CASCADE"),
        sa.CheckConstraint("(state = 'waiting') = (next_attempt_at IS NOT NULL)", name="ck_jobs_waits_until"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_state", "jobs", ["state", "seq"])
    op.create_index("ix_jobs_platform_state", "jobs", ["platform", "state", "seq"])
    op.create_index("ix_jobs_batch_state", "jobs", ["batch_id", "state", "seq"])
    waiting = sa.text("next_attempt_at IS NOT NULL")
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["platform", "next_attempt_at"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )


def _create_links() -> None:
    op.create_table(
        "links",
        sa.Column("batch_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "position", name="pk_links"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_links_batch_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_links_job_id", ondelete="CASCADE"),
    )
    op.create_index("ix_links_job_id", "links", ["job_id"])


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.Column("error_code", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_attempts"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_attempts_job_id", ondelete="CASCADE"),
    )
    op.create_index("ix_attempts_ended_at", "attempts", ["ended_at"])
    running = sa.text("result = 'running'")
    op.create_index(
        "uq_attempts_running",
        "attempts",
        ["job_id"],
        unique=True,
        sqlite_where=running,
        postgresql_where=running,
    )


def _create_files() -> None:
    op.create_table(
        "files",
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_files"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_files_job_id", ondelete="CASCADE"),
    )
    op.create_index("ix_files_path", "files", ["path"])


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("batch_id", sa.Text),
        sa.Column("job_id", sa.Text),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_batch", "events", ["batch_id", "id"])


def _create_platform_rests() -> None:
    op.create_table(
        "platform_rests",
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("cap", sa.Float, nullable=False),
        sa.Column("cooling_until", TIME),
        sa.Column("strikes", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("platform", name="pk_platform_rests"),
    )


def _create_numbers() -> None:
    numbers = op.create_table(
        "numbers",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_numbers"),
    )
    op.bulk_insert(numbers, [{"name": "last_event_id", "value": 0}, {"name": "paused", "value": 0}])
