"""Page: one self-contained HTML file of a verdict table."""
