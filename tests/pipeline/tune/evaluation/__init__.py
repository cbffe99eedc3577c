"""Laws of pipeline/tune/evaluation."""
