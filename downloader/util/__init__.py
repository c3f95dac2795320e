"""Small helpers that know nothing about downloads."""
