"""Attempts on other machines: the server's side, the machine's side, and what they say to each other by RabbitMQ."""
