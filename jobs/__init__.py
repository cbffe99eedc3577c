"""Jobs: one file per command; each parses settings, calls one flow, prints one result and returns one exit code."""
