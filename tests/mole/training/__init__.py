"""Tests of `mole.training.step`."""
