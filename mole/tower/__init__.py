"""Tower: the frozen vision transformer, its weights, and their quantization."""
