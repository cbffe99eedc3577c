"""The rows: where images come from, what is known of each, and where its verdict goes."""
