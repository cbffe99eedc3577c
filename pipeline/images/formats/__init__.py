"""Formats: what each kind of image file may cost and what of it a reader may see, told by its structure alone."""
