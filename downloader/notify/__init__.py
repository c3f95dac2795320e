"""Tells others when a batch has ended: a signed webhook, and Apprise."""
