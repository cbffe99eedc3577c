"""Images: what the bytes of a file say: pixels, format, metadata, provenance."""
