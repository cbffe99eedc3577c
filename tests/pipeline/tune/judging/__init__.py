"""Laws of pipeline/tune/judging."""
