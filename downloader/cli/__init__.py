"""The words of the command line that talk to a server over HTTP: add, list and get."""
