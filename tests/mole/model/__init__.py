"""Tests of `mole.model`."""
