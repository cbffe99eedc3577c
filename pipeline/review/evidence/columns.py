"""Columns: what a condition in SQL can name beside the columns of the view `evidence`, whoever asks."""

SOURCE = r"""CASE WHEN regexp_matches(uri, '^https?://') THEN regexp_extract(uri, '^https?://([^/?#]*)', 1)
     ELSE regexp_extract(uri, '^(.*)/[^/]*$', 1) END"""
"""Where an image comes from: the domain of a web address, else the folder that its file or shard lies in."""

ADDED = f'provenance.generator AS generator, {SOURCE} AS "source"'
"""The generator that an image's file names, and where the image comes from."""
