"""Measuring: ranking metrics, temperature and thresholds, with their intervals."""
