"""Tests of the road of a training."""
