"""Laws of pipeline/tune/training."""
