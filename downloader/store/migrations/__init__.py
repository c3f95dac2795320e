"""Alembic's scripts: how the database of an older version becomes that of this one."""
