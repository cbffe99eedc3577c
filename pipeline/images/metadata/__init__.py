"""The forms in which files keep what they say about themselves; none decodes a pixel or asks anyone."""
