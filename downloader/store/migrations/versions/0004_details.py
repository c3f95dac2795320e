"""Which post a job is for, so that each is fetched once; what is wanted of it, and what is known about it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from downloader.platform_detector import read_link

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PORTION = 5000


def upgrade() -> None:
    for name in ("wanted_subtitles", "thumbnails", "subtitles", "subtitles_missing"):
        op.add_column("jobs", sa.Column(name, sa.Text, server_default="[]", nullable=False))
    op.add_column("jobs", sa.Column("folder", sa.Text, server_default=sa.text("''"), nullable=False))
    for name in ("again", "reused"):
        op.add_column("jobs", sa.Column(name, sa.Boolean, server_default=sa.false(), nullable=False))
    op.add_column("jobs", sa.Column("photos", sa.Boolean, server_default=sa.true(), nullable=False))
    op.add_column("jobs", sa.Column("post_key", sa.Text))
    op.add_column("jobs", sa.Column("uploader", sa.Text))
    op.add_column("jobs", sa.Column("uploaded_at", sa.BigInteger))
    op.add_column("jobs", sa.Column("width", sa.Integer))
    op.add_column("jobs", sa.Column("height", sa.Integer))
    op.add_column("jobs", sa.Column("thumbnail_failures", sa.Integer, server_default="0", nullable=False))
    op.create_table(
        "archive",
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("post", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("platform", "post", name="pk_archive"),
    )
    _fill_post_keys()
    op.create_index("ix_jobs_post_key", "jobs", ["post_key", "state"])


def _fill_post_keys() -> None:
    """Give each job the key that a new one for its link would get."""
    names = ("seq", "link", "platform", "preset", "state", "media_id", "post_key")
    jobs = sa.table("jobs", *(sa.column(name) for name in names))
    set_key = sa.update(jobs).where(jobs.c.seq == sa.bindparam("row")).values(post_key=sa.bindparam("key"))
    following = sa.select(jobs).where(jobs.c.link.is_not(None), jobs.c.seq > sa.bindparam("last"))
    connection, last = op.get_bind(), 0
    while rows := connection.execute(following.order_by(jobs.c.seq).limit(_PORTION), {"last": last}).all():
        last = rows[-1].seq
        keys = [{"row": row.seq, "key": f"{row.platform}:{post}:{row.preset}:"} for row in rows if (post := _post(row))]
        if keys:
            connection.execute(set_key, keys)


def _post(row: sa.Row[tuple[object, ...]]) -> str | None:
    # Not by SQL: links have many spellings, and a Twitter post may come under the id of the one that it quotes.
    target = read_link(row.link)
    if target.kind == "short" and row.state == "succeeded" and row.media_id:
        # It was followed then; what the platform called the post is the id in its canonical link.
        name = read_link(_LINKS[row.platform].format(row.media_id)).name if row.platform in _LINKS else None
        return name if name == row.media_id else None
    return target.name


#: Canonical links of the platforms that have short ones.
_LINKS = {"tiktok": "https://www.tiktok.com/@_/video/{}", "instagram": "https://www.instagram.com/p/{}/"}
