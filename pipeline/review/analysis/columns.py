"""Columns: the SQL columns `generator` and `source`, which conditions may use beside those of the view `evidence`."""

SOURCE_SQL = r"""CASE WHEN regexp_matches(uri, '^https?://') THEN regexp_extract(uri, '^https?://([^/?#]*)', 1)
     ELSE regexp_extract(uri, '^(?:file://)?(.*)/[^/]*$', 1) END"""
"""The source of an image: the domain of a web URL, else the folder of its file or shard.

A name that is no UTF-8 is a `file:` URL."""

ADDED_COLUMNS = f'provenance.generator AS generator, {SOURCE_SQL} AS "source"'
"""The generator that an image's file names, and the image's source."""
