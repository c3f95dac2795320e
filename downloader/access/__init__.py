"""Access rules, without Flask: keys, sessions, hosts and origins."""
