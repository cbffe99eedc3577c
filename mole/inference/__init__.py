"""Inference: scoring of views, numeric precision, and heat maps."""
