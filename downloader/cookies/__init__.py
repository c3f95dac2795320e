"""The operator's cookies."""
