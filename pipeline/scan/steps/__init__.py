"""Steps: prepare, score and verdict, between an image's bytes and its row."""
