"""Tower: the frozen vision transformer, where it comes from, and how its weights are packed."""
