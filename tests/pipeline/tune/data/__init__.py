"""Laws of pipeline/tune/data."""
