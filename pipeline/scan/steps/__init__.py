"""The stages between an image's bytes and its row: prepare, score, verdict."""
