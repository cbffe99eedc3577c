"""Tests of `pipeline.telemetry.terminal`."""
