"""Images: decoding, formats, metadata and provenance of image files."""
