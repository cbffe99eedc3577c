"""Formats: structural inspection of image files, which bounds the cost of decoding them."""
