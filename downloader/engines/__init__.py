"""Where attempts run: threads or worker processes."""
