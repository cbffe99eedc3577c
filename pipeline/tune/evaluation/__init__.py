"""Evaluation: metrics, thresholds and promotion of versions, on images that they were not trained on."""
