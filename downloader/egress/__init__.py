"""The guarded access to the network."""
