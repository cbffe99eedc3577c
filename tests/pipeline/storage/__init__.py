"""Tests of `pipeline.storage.storage`."""
