"""The database: batches, jobs, attempts and events. The only package that imports SQLAlchemy."""
