"""Laws of pipeline/tune/study."""
