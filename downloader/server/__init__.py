"""The production WSGI server."""
