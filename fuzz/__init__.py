"""Throws made-up inputs at what reads strangers' text, and asks other parsers whether it was read right."""
