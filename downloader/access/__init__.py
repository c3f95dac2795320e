"""Keys, sessions, hosts and origins: the rules of access, without Flask."""
