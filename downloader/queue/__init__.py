"""The durable queue: what runs when, and the events that say so."""
