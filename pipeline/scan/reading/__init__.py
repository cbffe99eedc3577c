"""What there is to scan: units of every kind of source, and the images in them with their bytes or their fault."""
