"""Tests of `mole.measuring`."""
