"""Inference: views to logits, and why a logit is what it is."""
