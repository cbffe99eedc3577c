"""Metadata: parsers of EXIF, XMP, IPTC, C2PA and text metadata, without network access or pixel decoding."""
