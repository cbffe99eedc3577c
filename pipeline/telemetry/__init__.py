"""Telemetry: log, progress and metrics of a run."""
