"""Page: the self-contained HTML report of a verdict table."""
