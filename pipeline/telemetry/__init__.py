"""Telemetry: what a run says while it runs: log, progress, metrics."""
