"""Tests of `pipeline.command`."""
