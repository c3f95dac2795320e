"""The dashboard: a page and its files, served as written."""
