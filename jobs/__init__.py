"""The doors: each parses, connects, calls one flow, prints one result and returns one exit code."""
