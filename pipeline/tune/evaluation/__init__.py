"""Evaluation: a version is measured on images that it did not learn from, and promoted or refused."""
